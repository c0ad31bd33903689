//! The home screen: alerts above services, narrowed by a text and in an order of the user's.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use api::{AlertView, ServiceView};

use super::list::ListState;
use super::load::Load;
use super::subject::Subject;
use crate::text::find_ignoring_case;

/// In which order services stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServiceOrder {
    /// By name.
    #[default]
    Name,
    /// Most errors first.
    Errors,
    /// Highest rate first.
    Rate,
    /// Highest 99th percentile first.
    Slowest,
}

impl ServiceOrder {
    /// The one that the key for it turns to.
    pub fn next(self) -> Self {
        match self {
            Self::Name => Self::Errors,
            Self::Errors => Self::Rate,
            Self::Rate => Self::Slowest,
            Self::Slowest => Self::Name,
        }
    }

    /// What services stand by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Errors => "errors",
            Self::Rate => "rate",
            Self::Slowest => "p99",
        }
    }

    fn compare(self, one: &ServiceView, other: &ServiceView) -> Ordering {
        let figures = match self {
            Self::Name => Ordering::Equal,
            Self::Errors => other.errors.cmp(&one.errors),
            Self::Rate => other.rate.total_cmp(&one.rate),
            Self::Slowest => other.p99_nano.cmp(&one.p99_nano),
        };
        figures.then_with(|| one.name.cmp(&other.name))
    }
}

/// State of the home screen.
#[derive(Debug, Default)]
pub struct Home {
    /// Active alerts.
    pub alerts: Load<Vec<AlertView>>,
    /// Services with their figures.
    pub services: Load<Vec<ServiceView>>,
    /// In which order the services stand.
    pub order: ServiceOrder,
    /// Text that a row must contain, or empty.
    pub filter: String,
    /// Alerts first, then services.
    pub list: ListState,
    /// Which alerts and services are shown.
    rows: Vec<Place>,
}

/// Where the row of the list stands among what was answered.
#[derive(Debug, Clone, Copy)]
enum Place {
    Alert(usize),
    Service(usize),
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub enum HomeRow<'a> {
    /// An alert.
    Alert(&'a AlertView),
    /// A service.
    Service(&'a ServiceView),
}

/// What tells a row from the others, across answers.
#[derive(Debug, PartialEq)]
pub(crate) enum HomeKey {
    Alert(String, BTreeMap<String, String>),
    Service(String),
}

impl HomeRow<'_> {
    fn key(self) -> HomeKey {
        match self {
            Self::Alert(alert) => HomeKey::Alert(alert.name.clone(), alert.labels.clone()),
            Self::Service(service) => HomeKey::Service(service.name.clone()),
        }
    }
}

impl Home {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing is shown.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A row by its place.
    pub fn row(&self, place: usize) -> Option<HomeRow<'_>> {
        match *self.rows.get(place)? {
            Place::Alert(index) => {
                let alerts = self.alerts.value.as_ref()?;
                alerts.get(index).map(HomeRow::Alert)
            }
            Place::Service(index) => {
                let services = self.services.value.as_ref()?;
                services.get(index).map(HomeRow::Service)
            }
        }
    }

    /// The marked row.
    pub fn marked(&self) -> Option<HomeRow<'_>> {
        self.row(self.list.cursor)
    }

    /// What tells the marked row from the others. While the first answers arrive a mark that is at
    /// the top belongs to the top, where alerts may still come.
    pub(crate) fn marked_key(&self) -> Option<HomeKey> {
        let begins = self.alerts.value.is_none() || self.services.value.is_none();
        if begins && self.list.cursor == 0 {
            return None;
        }
        self.marked().map(HomeRow::key)
    }

    /// How many alerts and services are shown.
    pub fn shown(&self) -> (usize, usize) {
        let alert = |place: &&Place| matches!(place, Place::Alert(_));
        let alerts = self.rows.iter().filter(alert).count();
        (alerts, self.rows.len() - alerts)
    }

    /// How many there are, shown or not.
    pub fn all(&self) -> (usize, usize) {
        let alerts = self.alerts.value.as_ref().map_or(0, Vec::len);
        (alerts, self.services.value.as_ref().map_or(0, Vec::len))
    }

    /// Brings the rows into their order after anything changed; the mark stays with its row.
    pub(crate) fn arrange(&mut self, marked: Option<&HomeKey>) {
        let alerts = self.alerts.value.as_deref().unwrap_or_default();
        let services = self.services.value.as_deref().unwrap_or_default();
        let matches =
            |text: &str| self.filter.is_empty() || find_ignoring_case(text, &self.filter).is_some();
        let mut rows: Vec<Place> = (0..alerts.len())
            .filter(|&index| {
                let alert = &alerts[index];
                matches(&alert.name) || matches(&Subject::of_alert(alert).service)
            })
            .map(Place::Alert)
            .collect();
        let mut found: Vec<usize> = (0..services.len())
            .filter(|&index| matches(&services[index].name))
            .collect();
        found.sort_by(|&one, &other| self.order.compare(&services[one], &services[other]));
        rows.extend(found.into_iter().map(Place::Service));
        self.rows = rows;
        let is_marked = |&place: &usize| {
            let key = self.row(place).map(HomeRow::key);
            key.is_some_and(|key| Some(&key) == marked)
        };
        // Rows that nothing tells apart keep their places.
        let mut places = std::iter::once(self.list.cursor).chain(0..self.rows.len());
        let place = places.find(is_marked).unwrap_or(self.list.cursor);
        self.list.cursor = place.min(self.rows.len().saturating_sub(1));
        self.list.offset = self.list.offset.min(self.list.cursor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> Home {
        let service = |name: &str, errors: u64, rate: f64, p99_nano: u64| ServiceView {
            name: name.to_owned(),
            errors,
            rate,
            p99_nano,
            ..ServiceView::default()
        };
        let mut alert = AlertView {
            name: "QueueTooLong".to_owned(),
            ..AlertView::default()
        };
        alert
            .labels
            .insert("service".to_owned(), "Payment".to_owned());
        let mut home = Home::default();
        home.alerts.value = Some(vec![alert]);
        home.services.value = Some(vec![
            service("payment", 1, 5.0, 30),
            service("cart", 9, 1.0, 20),
            service("email", 0, 9.0, 10),
            service("ads", 1, 1.0, 40),
        ]);
        home.arrange(None);
        home
    }

    fn names(home: &Home) -> Vec<&str> {
        (0..home.len())
            .filter_map(|place| home.row(place))
            .map(|row| match row {
                HomeRow::Alert(alert) => &*alert.name,
                HomeRow::Service(service) => &*service.name,
            })
            .collect()
    }

    #[test]
    fn services_stand_in_the_order_asked_for() {
        let mut home = home();
        let orders = [
            ["ads", "cart", "email", "payment"],
            ["cart", "ads", "payment", "email"],
            ["email", "payment", "ads", "cart"],
            ["ads", "payment", "cart", "email"],
        ];
        for order in orders {
            assert_eq!(names(&home)[0], "QueueTooLong", "alerts stay on top");
            assert_eq!(names(&home)[1..], order, "{:?}", home.order);
            home.order = home.order.next();
            home.arrange(None);
        }
        assert_eq!(home.order, ServiceOrder::Name);
    }

    #[test]
    fn the_mark_begins_at_the_alerts_whatever_is_answered_first() {
        let mut home = home();
        let alerts = home.alerts.value.take();
        home.arrange(None);
        let marked = home.marked_key();
        home.alerts.value = alerts;
        home.arrange(marked.as_ref());
        assert_eq!(home.list.cursor, 0);
        // An alert that comes later leaves the mark where it is.
        home.alerts.value = Some(Vec::new());
        home.arrange(None);
        let marked = home.marked_key();
        let mut home = Home {
            alerts: self::home().alerts,
            ..home
        };
        home.arrange(marked.as_ref());
        assert_eq!(home.list.cursor, 1);
    }

    #[test]
    fn the_mark_stays_within_what_is_left_and_on_one_of_two_alike() {
        let mut home = home();
        let alerts = home.alerts.value.as_mut().unwrap();
        alerts.push(alerts[0].clone());
        home.arrange(None);
        (home.list.cursor, home.list.offset) = (1, 1);
        let marked = home.marked_key();
        home.arrange(marked.as_ref());
        assert_eq!((home.list.cursor, home.list.offset), (1, 1));
        home.alerts.value = None;
        home.services.value = Some(Vec::new());
        home.arrange(marked.as_ref());
        assert_eq!((home.list.cursor, home.list.offset), (0, 0));
    }

    #[test]
    fn a_filter_holds_for_alerts_and_services_and_the_mark_stays() {
        let mut home = home();
        home.list.cursor = 4;
        let marked = home.marked_key();
        home.filter = "PAY".to_owned();
        home.arrange(marked.as_ref());
        assert_eq!(
            names(&home),
            ["QueueTooLong", "payment"],
            "by its label, by its name"
        );
        assert_eq!(
            (home.list.cursor, home.shown(), home.all()),
            (1, (1, 1), (1, 4))
        );
        home.filter.clear();
        home.arrange(marked.as_ref());
        assert_eq!(home.list.cursor, 4);
    }
}
