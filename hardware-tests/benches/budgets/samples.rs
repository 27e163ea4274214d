//! Many measurements of one thing.

use std::time::{Duration, Instant};

use crate::table::Figure;

/// How long each of many runs took, in order of length.
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Takes measurements.
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// Half took no longer.
    pub fn median(&self) -> Figure {
        self.quantile(50)
    }

    /// 99 of 100 took no longer; `None` where there are too few to say.
    pub fn p99(&self) -> Option<Figure> {
        (self.0.len() >= 100).then(|| self.quantile(99))
    }

    fn quantile(&self, percent: usize) -> Figure {
        Figure::Time(self.0[(self.0.len() - 1) * percent / 100])
    }
}

/// How long `work` takes.
pub fn time<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let done = work();
    (done, started.elapsed())
}

/// One line for whoever reads this process's output: a name, and nanoseconds.
pub fn tell(name: &str, times: &[Duration]) {
    let nanos: Vec<_> = times
        .iter()
        .map(|time| time.as_nanos().to_string())
        .collect();
    println!("{name} {}", nanos.join(" "));
}

/// What [`tell`] told under this name.
pub fn told(output: &str, name: &str) -> Samples {
    let line = output
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("{name} is not in: {output}"));
    let nanos = line.split(' ').map(|nanos| nanos.parse().unwrap());
    Samples::new(nanos.map(Duration::from_nanos).collect())
}
