"""What deciding on arrival is worth: streams beside hindsight, cascades beside other routing, batches in training."""
