//! A strict reader of the text that metrics are told in (OpenMetrics 1.0): it panics at whatever the format does not allow.

use std::collections::{BTreeMap, HashMap};

/// A scrape: samples by name and labels, and the types of families.
#[derive(Debug, Default)]
pub struct Exposition {
    types: HashMap<String, String>,
    helps: HashMap<String, String>,
    units: HashMap<String, String>,
    samples: BTreeMap<(String, String), f64>,
}

impl Exposition {
    /// Reads a scrape.
    #[track_caller]
    pub fn parse(text: &str) -> Exposition {
        let mut exposition = Exposition::default();
        let body = text.strip_suffix("# EOF\n").expect("the last line is # EOF");
        for line in body.lines() {
            match line.strip_prefix("# ") {
                Some(fact) => exposition.take_fact(fact),
                None => exposition.take_sample(line),
            }
        }
        assert!(exposition.types.keys().all(|family| exposition.helps.contains_key(family)), "a family without help");
        exposition
    }

    #[track_caller]
    fn take_fact(&mut self, fact: &str) {
        let (kind, rest) = fact.split_once(' ').unwrap_or_else(|| panic!("no fact: {fact}"));
        let (family, value) = rest.split_once(' ').unwrap_or_else(|| panic!("no fact: {fact}"));
        assert!(is_name(family) && !value.is_empty(), "no fact: {fact}");
        let facts = match kind {
            "TYPE" => &mut self.types,
            "HELP" => &mut self.helps,
            "UNIT" => &mut self.units,
            _ => panic!("no fact: {fact}"),
        };
        assert!(facts.insert(family.to_owned(), value.to_owned()).is_none(), "told twice: {fact}");
    }

    #[track_caller]
    fn take_sample(&mut self, line: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').unwrap_or_else(|| panic!("no sample: {line}"))),
            None => (series, ""),
        };
        assert!(is_name(name) && labels_are_well_formed(labels), "no sample: {line}");
        let (family, kind) = self.family_of(name).unwrap_or_else(|| panic!("no family of {line}"));
        if let Some(unit) = self.units.get(family) {
            assert!(family.ends_with(&format!("_{unit}")), "{family} is in {unit}");
        }
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(kind == "gauge" || value >= 0.0, "{line} counts");
        let sample = (name.to_owned(), labels.to_owned());
        assert!(self.samples.insert(sample, value).is_none(), "told twice: {line}");
    }

    /// The family that a sample's name is of, by the endings that its type has.
    fn family_of<'a>(&'a self, name: &'a str) -> Option<(&'a str, &'a str)> {
        const ENDINGS: [(&str, &str); 6] = [
            ("counter", "_total"),
            ("info", "_info"),
            ("histogram", "_bucket"),
            ("histogram", "_sum"),
            ("histogram", "_count"),
            ("gauge", ""),
        ];
        ENDINGS.iter().find_map(|(kind, ending)| {
            let family = name.strip_suffix(ending)?;
            self.types.get(family).is_some_and(|there| there == kind).then_some((family, *kind))
        })
    }

    /// The sum of all samples of a name.
    #[track_caller]
    pub fn sum(&self, name: &str) -> f64 {
        let samples: Vec<f64> = self.of(name).map(|(_, value)| value).collect();
        assert!(!samples.is_empty(), "no sample of {name}");
        samples.into_iter().sum()
    }

    /// Labels and values of all samples of a name.
    pub fn of(&self, name: &str) -> impl Iterator<Item = (&str, f64)> {
        let samples = self.samples.iter().filter(move |((sampled, _), _)| sampled == name);
        samples.map(|((_, labels), value)| (labels.as_str(), *value))
    }

    /// The families of a type.
    pub fn families(&self, kind: &str) -> Vec<&str> {
        self.types.iter().filter(|(_, there)| *there == kind).map(|(family, _)| family.as_str()).collect()
    }
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with("trunkline_") && name.chars().all(fits)
}

/// `name="value"` separated by commas; no value here needs an escape.
fn labels_are_well_formed(labels: &str) -> bool {
    let is_label = |label: &str| {
        let value = label.split_once("=\"").and_then(|(name, value)| Some((name, value.strip_suffix('"')?)));
        value.is_some_and(|(name, value)| !name.is_empty() && !value.contains(['"', '\\']))
    };
    labels.is_empty() || labels.split(',').all(is_label)
}
