// Pages opened from a disk may start no worker, which the search needs. There, and only there, a hidden frame does its
// work: it runs the same script and hands messages to and fro.
if (location.protocol === "file:") {
  let made = 0
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super()
      const name = `worker-${made++}`
      const frame = document.createElement("iframe")
      frame.hidden = true
      frame.srcdoc =
        `<script>window.postMessage = data => parent.postMessage({ worker: "${name}", data }, "*");` +
        `window.importScripts = () => {}</script><script src="${url}"></script>`
      this.ready = new Promise(done => frame.addEventListener("load", done))
      this.frame = frame
      document.body.append(frame)
      window.addEventListener("message", event => {
        if (event.data?.worker !== name) return
        const copy = new MessageEvent("message", { data: event.data.data })
        this.dispatchEvent(copy)
        this.onmessage?.(copy)
      })
    }
    postMessage(data) {
      // Dispatched, not posted: the frame's own postMessage leads here.
      this.ready.then(() => {
        const { contentWindow } = this.frame
        contentWindow.dispatchEvent(new contentWindow.MessageEvent("message", { data }))
      })
    }
    terminate() {
      this.frame.remove()
    }
  }
  window.Worker = window.IFrameWorker
}
