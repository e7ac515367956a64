//! Floating-point formats: which numbers a dtype has, and which of them are nearest to a bound.

use super::DType;

/// A binary floating-point format.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Stored bits of the significand.
    mantissa: i32,
    /// Exponent of the smallest normal number.
    min_exponent: i32,
    /// Largest finite number.
    max: f64,
}

impl DType {
    /// The numbers this dtype has.
    pub fn format(self) -> Format {
        let (mantissa, min_exponent, max) = match self {
            Self::F16 => (10, -14, 65504.0),
            Self::BF16 => (7, -126, f64::from(half::bf16::MAX)),
            Self::F32 => (23, -126, f64::from(f32::MAX)),
            Self::F64 => (52, -1022, f64::MAX),
            Self::F8E4M3Fn => (3, -6, 448.0),
            Self::F8E5M2 => (2, -14, 57344.0),
        };
        Format { mantissa, min_exponent, max }
    }
}

impl Format {
    /// Largest finite number.
    pub fn max(self) -> f64 {
        self.max
    }

    /// The largest number of the format that is at most `x`, or the lowest one if there is none.
    pub fn floor(self, x: f64) -> f64 {
        if self.mantissa == 52 {
            return x.clamp(-self.max, self.max);
        }
        let exponent = ((x.to_bits() >> 52 & 0x7ff) as i32 - 1023).max(self.min_exponent);
        // The distance between neighbours, a power of two that is a normal f64 in every format.
        let ulp = f64::from_bits(((exponent - self.mantissa + 1023) as u64) << 52);
        ((x / ulp).floor() * ulp).clamp(-self.max, self.max)
    }

    /// The smallest number of the format that is at least `x`, or the highest one if there is none.
    pub fn ceil(self, x: f64) -> f64 {
        -self.floor(-x)
    }

    /// The number of the format nearest to `x`, and of two that are equally near the one farther
    /// from zero.
    pub fn nearest(self, x: f64) -> f64 {
        let (below, above) = (self.floor(x), self.ceil(x));
        if (x - below).abs() < (above - x).abs() || (x - below == above - x && x < 0.0) {
            below
        } else {
            above
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_the_neighbours() {
        let f16 = DType::F16.format();
        assert_eq!(f16.floor(0.1), f64::from(half::f16::from_bits(0x2e66)));
        assert_eq!(f16.ceil(0.1), f64::from(half::f16::from_bits(0x2e67)));
        assert_eq!((f16.floor(1e9), f16.ceil(-1e9)), (65504.0, -65504.0));
        assert_eq!(f16.floor(1e-8), 0.0);
        assert_eq!(f16.ceil(1e-8), 2f64.powi(-24));
        for x in [0.1, -0.1, 1.0, 3.7e-40, -1e-45, 1e30] {
            let (below, above) = (DType::F32.format().floor(x), DType::F32.format().ceil(x));
            assert!(below <= x && x <= above && (below as f32).next_up() as f64 >= above);
            assert_eq!(below as f32 as f64, below);
        }
        assert_eq!(DType::F8E4M3Fn.format().floor(460.0), 448.0);
        assert_eq!(DType::F32.format().nearest(0.1), f64::from(0.1f32));
    }
}
