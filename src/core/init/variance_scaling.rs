//! The variance-scaling family: He, Glorot, LeCun and their relatives.
//!
//! The variance of a weight is `scale / n`, where n counts the connections of the weight's unit (He
//! et al. 2015, arXiv:1502.01852; Glorot and Bengio 2010). All arithmetic is in float64 and in
//! Keras' order, so that streams which repeat a reference get the very parameters that Keras
//! computes.

use crate::distribution::Distribution;
use crate::error::{Error, shown};

/// Standard deviation of a standard normal truncated to +-2:
/// `scipy.stats.truncnorm.std(a=-2, b=2)`, as Keras writes it.
pub const TRUNCATED_STDDEV: f64 = 0.879_625_661_034_239_8;

/// Which connections are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FanMode {
    /// Those into a unit.
    In,
    /// Those out of a unit.
    Out,
    /// The mean of both.
    Average,
}

/// The shape of the distribution that gets the variance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// Normal truncated to two standard deviations, widened to keep the variance.
    TruncatedNormal,
    /// Normal.
    UntruncatedNormal,
    /// Uniform around 0.
    Uniform,
}

/// The distribution whose variance is `scale` divided by the number of connections, which `mode`
/// takes from `fans`, (fan_in, fan_out), and which counts as 1 where it is less.
///
/// # Errors
/// [`Error::Value`] if `scale` is not finite or not > 0.
pub fn distribution(
    scale: f64,
    mode: FanMode,
    law: Law,
    fans: (f64, f64),
) -> Result<Distribution, Error> {
    if !(scale > 0.0 && scale.is_finite()) {
        return Err(Error::value("scale", "must be a finite number > 0", shown(scale)));
    }
    let connections = match mode {
        FanMode::In => fans.0,
        FanMode::Out => fans.1,
        FanMode::Average => (fans.0 + fans.1) / 2.0,
    };
    let variance = scale / connections.max(1.0);
    Ok(match law {
        Law::TruncatedNormal => Distribution::TruncatedNormal {
            mean: 0.0,
            stddev: variance.sqrt() / TRUNCATED_STDDEV,
            lower: -2.0,
            upper: 2.0,
        },
        Law::UntruncatedNormal => Distribution::Normal { mean: 0.0, stddev: variance.sqrt() },
        Law::Uniform => {
            let limit = (3.0 * variance).sqrt();
            Distribution::Uniform { low: -limit, high: limit }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_and_law_keeps_the_variance() {
        for (mode, n) in [(FanMode::In, 64.0), (FanMode::Out, 16.0), (FanMode::Average, 40.0)] {
            let variance = 2.0 / n;
            let of = |law| distribution(2.0, mode, law, (64.0, 16.0)).unwrap();
            let Distribution::Normal { stddev, .. } = of(Law::UntruncatedNormal) else { panic!() };
            assert!((stddev * stddev / variance - 1.0).abs() < 1e-15);
            let Distribution::Uniform { low, high } = of(Law::Uniform) else { panic!() };
            assert_eq!(low, -high);
            assert!((high * high / 3.0 / variance - 1.0).abs() < 1e-15);
            let Distribution::TruncatedNormal { stddev, lower, upper, .. } =
                of(Law::TruncatedNormal)
            else {
                panic!()
            };
            assert_eq!((lower, upper), (-2.0, 2.0));
            assert!((stddev * TRUNCATED_STDDEV / variance.sqrt() - 1.0).abs() < 1e-15);
        }
    }

    #[test]
    fn the_truncated_deviation_follows_from_the_density() {
        // Var = integral of x^2 phi(x) over [-2, 2] / integral of phi(x) there; Simpson's rule on
        // 4000 intervals is exact to far below 1e-12 for these smooth integrands.
        let simpson = |f: &dyn Fn(f64) -> f64| {
            let n = 4000;
            let h = 4.0 / f64::from(n);
            (0..=n)
                .map(|i| {
                    let weight = match i {
                        0 => 1.0,
                        i if i == n => 1.0,
                        i if i % 2 == 1 => 4.0,
                        _ => 2.0,
                    };
                    weight * f(-2.0 + h * f64::from(i))
                })
                .sum::<f64>()
        };
        let density = |x: f64| (-x * x / 2.0).exp();
        let variance = simpson(&|x| x * x * density(x)) / simpson(&density);
        assert!((variance.sqrt() - TRUNCATED_STDDEV).abs() < 1e-12);
    }

    #[test]
    fn fans_below_one_count_as_one_and_bad_scales_are_refused() {
        let of = |scale, fans| distribution(scale, FanMode::In, Law::Uniform, fans);
        assert_eq!(of(3.0, (0.0, 5.0)), of(3.0, (1.0, 5.0)));
        for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = of(scale, (1.0, 1.0)).unwrap_err();
            assert!(error.to_string().starts_with("`scale` must be a finite number > 0."));
        }
    }
}
