// Numbers shared by the CPU and the CUDA kernels. Each one says where it comes from.
#pragma once

namespace rad_fast {
namespace constants {

constexpr double log2_e_double = 1.4426950408889634;  // 1 / ln 2
constexpr float log2_e = 0x1.715476p+0f;              // to float32: 1.44269502
constexpr float log2_e_low = 1.92596299e-8f;          // log2_e_double - log2_e
constexpr float ln_2 = 0.693147181f;
constexpr float ln_2_high = 0x1.63p-1f;  // 9 bits: its product with a whole number up to 2^15 is exact
constexpr float ln_2_low = -2.12194440e-4f;

// 2^f on [0, 1): minimax in relative error (linear programming on Chebyshev nodes, the coefficients rounded to float32 one
// by one and the rest refitted). The constant is held at 1, so that the row's maximum contributes exactly 1 to its sum.
// Error of the polynomial 2.1e-9; evaluated in float32 with fma at most 6.1e-8 (one unit of 2^-24) and 4e-11 on average,
// so that long sums do not drift. Degree 5 saves one fma, but errs by up to 1.4e-7.
constexpr float exp2_1 = 0x1.62e42cp-1f;
constexpr float exp2_2 = 0x1.ebfd3ap-3f;
constexpr float exp2_3 = 0x1.c68af6p-5f;
constexpr float exp2_4 = 0x1.3cfd82p-7f;
constexpr float exp2_5 = 0x1.47373ap-10f;
constexpr float exp2_6 = 0x1.c4456ep-13f;

// exp(r) for |r| <= ln 2 / 16 (/ 32) as 1 + r + r^2 (exp_2 + exp_3 r): minimax in relative error, as above; 2.6e-8 (1.6e-9)
// at most. What rounding 1 + ... costs, 2^-24, is more.
constexpr float exp_2_eighth = 0x1.000874p-1f;
constexpr float exp_3_eighth = 0x1.55567p-3f;
constexpr float exp_2_sixteenth = 0x1.00021ep-1f;
constexpr float exp_3_sixteenth = 0x1.55559ap-3f;

// 2^(j/16), to float32. Those of even j err by 3.2e-8 at most, the others by 4.8e-8.
constexpr float sixteenths[16] = {0x1p+0f,        0x1.0b5586p+0f, 0x1.172b84p+0f, 0x1.2387a6p+0f, 0x1.306fep+0f,  0x1.3dea64p+0f,
                                  0x1.4bfdaep+0f, 0x1.5ab07ep+0f, 0x1.6a09e6p+0f, 0x1.7a1148p+0f, 0x1.8ace54p+0f, 0x1.9c4918p+0f,
                                  0x1.ae89fap+0f, 0x1.c199bep+0f, 0x1.d5818ep+0f, 0x1.ea4afap+0f};

// Below this a table of powers could meet numbers that are not normal: its result is 2.7e-38 from here on.
constexpr float exp_lowest = -86.5f;
constexpr float whole_numbers = 0x1.8p+23f;  // added to a small number it leaves a whole one in the lowest bits

// 2^x is flushed to 0 from here on where the exponent is set by integer arithmetic: -126 is float32's last normal exponent.
constexpr float exp2_underflow = -127.0f;

// log(m) = 2 s (1 + s^2/3 + s^4/5 + ...), s = (m - 1)/(m + 1), with m in [1/sqrt 2, sqrt 2): |s| <= 0.1716, hence
// s^2 <= 0.0295 and the first dropped term, s^10/11, is below 2.1e-9.
constexpr float log_3 = 1.0f / 3.0f;
constexpr float log_5 = 1.0f / 5.0f;
constexpr float log_7 = 1.0f / 7.0f;
constexpr float log_9 = 1.0f / 9.0f;
constexpr float sqrt_half = 0.707106781f;

// Probabilities are kept this far from 0 and 1 before a logit is taken: |logit| <= 13.9. Float32 cannot tell 1 - 2^-25 from
// 1, so a limit well above that keeps the logistic calibrator from resting on rounding errors.
constexpr float logit_clip = 0x1p-20f;

}  // namespace constants
}  // namespace rad_fast
