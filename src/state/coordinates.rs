//! Places on the globe, and how far apart they are.
//!
//! Control side only: what queries need of it is decided before they come.

use std::fmt;

/// Mean radius of the earth (IUGG).
const EARTH_RADIUS_KM: f64 = 6371.0088;
/// Parts of a degree that are told apart: 11 cm.
const PARTS: f64 = 1e6;

/// A latitude and a longitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Coordinates {
    /// Millionths of a degree north, -90°..=90°.
    latitude_micro: i32,
    /// Millionths of a degree east, -180°..180°.
    longitude_micro: i32,
}

impl Coordinates {
    /// Of degrees north and east; `None` outside -90..=90 and -180..=180.
    pub fn new(latitude: f64, longitude: f64) -> Option<Coordinates> {
        if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
            return None;
        }
        // 180° east and west are one meridian.
        let longitude = if longitude == 180.0 { -180.0 } else { longitude };
        Some(Coordinates {
            latitude_micro: (latitude * PARTS).round() as i32,
            longitude_micro: (longitude * PARTS).round() as i32,
        })
    }

    /// Degrees north.
    pub fn latitude(self) -> f64 {
        f64::from(self.latitude_micro) / PARTS
    }

    /// Degrees east.
    pub fn longitude(self) -> f64 {
        f64::from(self.longitude_micro) / PARTS
    }

    /// The great-circle distance (haversine formula).
    pub fn distance_km(self, other: Coordinates) -> f64 {
        let (a, b) = (self.latitude().to_radians(), other.latitude().to_radians());
        let east = (other.longitude() - self.longitude()).to_radians();
        let h = ((b - a) / 2.0).sin().powi(2) + a.cos() * b.cos() * (east / 2.0).sin().powi(2);
        2.0 * EARTH_RADIUS_KM * h.sqrt().min(1.0).asin()
    }

    /// The point on a globe of radius 1. The straight line between two of them grows with their great-circle distance, and
    /// costs no trigonometry: that is what many distances are ordered by.
    pub fn on_unit_globe(self) -> [f64; 3] {
        let (latitude, longitude) = (self.latitude().to_radians(), self.longitude().to_radians());
        [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()]
    }

    /// The middle of the cell of a grid that it lies in: rows of `step` degrees, cut into cells about as wide. Nothing in a cell
    /// is farther from its middle than [`grid_error_km`].
    pub fn on_grid(self, step: f64) -> Coordinates {
        let row = (self.latitude() / step).floor();
        let middle = ((row + 0.5) * step).clamp(-90.0, 90.0);
        // A row is as long as its side nearer the equator.
        let widest = if middle > 0.0 { row * step } else { (row + 1.0) * step };
        let cells = (360.0 * widest.to_radians().cos() / step).ceil().max(1.0);
        let column = ((self.longitude() + 180.0) / 360.0 * cells).floor();
        let longitude = (column + 0.5) * 360.0 / cells - 180.0;
        Coordinates::new(middle, longitude).unwrap_or(self)
    }
}

/// How far a place may lie from the middle of its cell.
pub fn grid_error_km(step: f64) -> f64 {
    EARTH_RADIUS_KM * step.to_radians() * std::f64::consts::FRAC_1_SQRT_2
}

impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.latitude(), self.longitude())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(latitude: f64, longitude: f64) -> Coordinates {
        Coordinates::new(latitude, longitude).unwrap()
    }

    #[test]
    fn distances_are_those_of_closed_forms() {
        let degree = EARTH_RADIUS_KM * 1f64.to_radians();
        for (a, b, degrees) in [
            (at(0.0, 0.0), at(0.0, 1.0), 1.0),
            (at(0.0, 179.5), at(0.0, -179.5), 1.0),
            (at(90.0, 0.0), at(-90.0, 77.0), 180.0),
            (at(89.0, 0.0), at(89.0, 180.0), 2.0),
            (at(10.0, 20.0), at(-10.0, -160.0), 180.0),
        ] {
            let distance = a.distance_km(b);
            assert!((distance - degrees * degree).abs() < 0.001, "{a} to {b}: {distance}");
        }
        // Berlin to Tokyo, and London to New York: by the spherical law of cosines.
        assert!((at(52.52, 13.405).distance_km(at(35.6762, 139.6503)) - 8915.5).abs() < 0.1);
        assert!((at(51.5074, -0.1278).distance_km(at(40.7128, -74.006)) - 5570.2).abs() < 0.1);
    }

    #[test]
    fn what_is_no_place_is_none() {
        for (latitude, longitude) in
            [(90.1, 0.0), (-91.0, 0.0), (0.0, 180.5), (f64::NAN, 0.0), (0.0, f64::INFINITY)]
        {
            assert_eq!(Coordinates::new(latitude, longitude), None);
        }
        assert_eq!(at(1.0, 180.0), at(1.0, -180.0));
    }

    proptest! {
        #[test]
        fn lines_through_the_globe_order_as_distances_do(
            a in (-90.0..90.0f64, -180.0..180.0f64), b in (-90.0..90.0f64, -180.0..180.0f64), c in (-90.0..90.0f64, -180.0..180.0f64),
        ) {
            let [a, b, c] = [a, b, c].map(|(latitude, longitude)| at(latitude, longitude));
            let line = |x: Coordinates, y: Coordinates| {
                x.on_unit_globe().iter().zip(y.on_unit_globe()).map(|(p, q)| (p - q).powi(2)).sum::<f64>()
            };
            let (near, far) = (a.distance_km(b), a.distance_km(c));
            prop_assume!((near - far).abs() > 0.001);
            prop_assert_eq!(near < far, line(a, b) < line(a, c));
        }

        #[test]
        fn no_place_is_farther_from_the_middle_of_its_cell_than_the_error(
            place in (-90.0..=90.0f64, -180.0..=180.0f64), exponent in -5i32..5,
        ) {
            let step = 2f64.powi(exponent);
            let place = at(place.0, place.1);
            let moved = place.distance_km(place.on_grid(step));
            prop_assert!(moved <= grid_error_km(step) + 0.001, "{} moved by {} km, {}", place, moved, step);
            prop_assert_eq!(place.on_grid(step).on_grid(step), place.on_grid(step));
        }
    }
}
