//! Instants as people write them, in UTC.

use crate::recording::Timestamp;

const DAY: i64 = 86_400;

/// `2017-11-23 04:00:00.123456`: to the microsecond, for people; JSON has all digits.
pub(super) fn utc(at: Timestamp) -> String {
    let seconds = at.nanos().div_euclid(1_000_000_000);
    let micros = at.nanos().rem_euclid(1_000_000_000) / 1000;
    let of_day = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{} {hour:02}:{minute:02}:{second:02}.{micros:06}", date(seconds.div_euclid(DAY)))
}

/// The hour that an instant lies in, counted from the epoch.
pub(super) fn hour_of(at: Timestamp) -> i64 {
    at.nanos().div_euclid(3600 * 1_000_000_000)
}

/// `2017-11-23 04:00`, of an hour counted from the epoch.
pub(super) fn hour(hour: i64) -> String {
    format!("{} {:02}:00", date(hour.div_euclid(24)), hour.rem_euclid(24))
}

/// `2017-11-23T04:00:00Z`, of an hour counted from the epoch.
pub(super) fn hour_json(hour: i64) -> String {
    format!("{}T{:02}:00:00Z", date(hour.div_euclid(24)), hour.rem_euclid(24))
}

/// A day counted from the epoch, in the Gregorian calendar.
fn date(day: i64) -> String {
    // Years that begin in March have their leap day last; 146,097 days make 400 of them.
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, after) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{of_month:02}", year + era * 400 + after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (day, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (59, "1970-03-01"),
            (789, "1972-02-29"),
            (11_016, "2000-02-29"),
            (17_493, "2017-11-23"),
            (24_855, "2038-01-19"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(date(day), text);
        }
    }

    #[test]
    fn known_instants() {
        assert_eq!(utc(Timestamp::from_nanos(1_511_409_600_123_456_789)), "2017-11-23 04:00:00.123456");
        assert_eq!(utc(Timestamp::from_nanos(-1)), "1969-12-31 23:59:59.999999");
        assert_eq!(hour(hour_of(Timestamp::from_nanos(1_511_409_600_123_456_789))), "2017-11-23 04:00");
        assert_eq!(hour(hour_of(Timestamp::from_nanos(-1))), "1969-12-31 23:00");
    }
}
