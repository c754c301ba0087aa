//! Figures as Prometheus reads them, written by its client library, in the order in which they came.
//!
//! The library's own families keep their figures in a hash map, to be counted up from many threads.
//! Ours are made for one writing: a figure that is not known is not there.

use std::fmt::{self, Debug};

use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::encoding::{
    EncodeCounterValue, EncodeGaugeValue, EncodeMetric, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

/// What tells one figure of a metric from another.
pub type Labels = Vec<(&'static str, String)>;

/// Metrics whose names have one beginning.
pub struct Figures(Registry);

impl Figures {
    /// None yet.
    pub fn of(prefix: &str) -> Self {
        Self(Registry::with_prefix(prefix))
    }

    /// A metric of one figure. The library ends the help with a full stop.
    pub fn gauge<V>(&mut self, name: &str, help: &str, value: V)
    where
        V: EncodeGaugeValue + Debug + Send + Sync + 'static,
    {
        self.gauges(name, help, [(Vec::new(), value)]);
    }

    /// A metric of several figures.
    pub fn gauges<V>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, V)>,
    ) where
        V: EncodeGaugeValue + Debug + Send + Sync + 'static,
    {
        let gauges = Gauges(values.into_iter().collect());
        self.0.register(name, help, gauges);
    }

    /// A metric that only grows. The library ends its name with `_total`.
    pub fn counters(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        let counters = Counters(values.into_iter().collect());
        self.0.register(name, help, counters);
    }

    /// All of them in the format of OpenMetrics.
    ///
    /// # Errors
    /// [`fmt::Error`]: what was written is not whole.
    pub fn open_metrics(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0)?;
        Ok(text)
    }

    /// All of them in Prometheus' older format, which the node exporter's textfile collector asks
    /// for. Of gauges it is the same, but for the last line of OpenMetrics.
    ///
    /// # Errors
    /// [`fmt::Error`]: what was written is not whole.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.0)?;
        Ok(text)
    }
}

#[derive(Debug)]
struct Gauges<V>(Vec<(Labels, V)>);

impl<V: EncodeGaugeValue> EncodeMetric for Gauges<V> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (labels, value) in &self.0 {
            encoder.encode_family(labels)?.encode_gauge(value)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

#[derive(Debug)]
struct Counters<V>(Vec<(Labels, V)>);

impl<V: EncodeCounterValue> EncodeMetric for Counters<V> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (labels, value) in &self.0 {
            let mut encoder = encoder.encode_family(labels)?;
            encoder.encode_counter::<NoLabelSet, _, u64>(value, None)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_in_their_order_and_a_label_is_no_markup() {
        let mut figures = Figures::of("of");
        let label = |value: &str| vec![("name", value.to_owned())];
        figures.gauges(
            "size",
            "How large",
            [(label("z\"\\\n"), 2_u64), (label("a"), 1)],
        );
        figures.gauge("share", "Which part", 0.5);
        assert_eq!(
            figures.text().unwrap(),
            "# HELP of_size How large.\n# TYPE of_size gauge\n\
             of_size{name=\"z\\\"\\\\\\n\"} 2\nof_size{name=\"a\"} 1\n\
             # HELP of_share Which part.\n# TYPE of_share gauge\nof_share 0.5\n"
        );
        figures.counters("seen", "How many", [(Vec::new(), 3)]);
        let open = figures.open_metrics().unwrap();
        assert!(
            open.ends_with("# TYPE of_seen counter\nof_seen_total 3\n# EOF\n"),
            "{open}"
        );
    }
}
