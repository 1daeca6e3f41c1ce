//! What Terraform says of a lock it could not get.

use std::time::{Duration, SystemTime};

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LockInfo {
    pub(super) id: String,
    /// `user@host`
    pub(super) who: String,
    /// What the holder does, such as `OperationTypeApply`.
    pub(super) operation: String,
    /// None if it is not written as it should be.
    pub(super) created: Option<SystemTime>,
}

impl LockInfo {
    /// Reads Terraform's error; none if it is another one, or does not say who has the lock.
    pub(super) fn read(error: &str) -> Option<Self> {
        let (_, info) = error.split_once("Lock Info:").filter(|(before, _)| before.contains("state lock"))?;
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.trim_start().strip_prefix(name))?;
            Some(line.trim()).filter(|value| !value.is_empty())
        };
        let id = field("ID:")?;
        // The `http` backend shows its own attempt in place of the holder, of whom it says the id only.
        let holder = error.split_once("already locked:").and_then(|(_, rest)| rest.trim_start().strip_prefix("ID="));
        match holder.and_then(|rest| rest.split_whitespace().next()).filter(|holder| *holder != id) {
            Some(holder) => Self::new(holder, None, None, None),
            None => Self::new(id, field("Who:"), field("Operation:"), field("Created:")),
        }
    }

    /// None if the id is none that could stand in a command, where people and the runner use it.
    pub(super) fn new(id: &str, who: Option<&str>, operation: Option<&str>, created: Option<&str>) -> Option<Self> {
        let plain = |text: &str, more: &str| text.chars().all(|c| c.is_alphanumeric() || more.contains(c));
        if id.is_empty() || id.starts_with('-') || !plain(id, "-_./:=@") || !id.is_ascii() {
            return None;
        }
        let shown =
            |text: Option<&str>| text.filter(|text| text.len() < 200 && plain(text, "-_.@ \\/")).map(str::to_owned);
        Some(Self {
            id: id.to_owned(),
            who: shown(who).unwrap_or_else(|| "somebody".to_owned()),
            operation: shown(operation).unwrap_or_else(|| "it is not known for what".to_owned()),
            created: created.and_then(time),
        })
    }

    /// Whether more than the id is known of it.
    pub(super) fn is_known(&self) -> bool {
        self.created.is_some()
    }

    /// How long ago it was taken, for people.
    pub(super) fn age(&self, now: SystemTime) -> String {
        let Some(created) = self.created else { return "at an unknown time".to_owned() };
        let seconds = now.duration_since(created).unwrap_or_default().as_secs();
        let (count, unit) = match seconds {
            0..=119 => (seconds, "second"),
            120..=7199 => (seconds / 60, "minute"),
            7200..=172_799 => (seconds / 3600, "hour"),
            _ => (seconds / 86400, "day"),
        };
        format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
    }
}

/// `2026-05-04 06:40:01.123456789 +0000 UTC`, as Go prints a time, or `2026-05-04T06:40:01.123456789Z`, as it is in
/// JSON. Locks have it in UTC.
fn time(text: &str) -> Option<SystemTime> {
    let text = match text.strip_suffix('Z') {
        Some(json) => format!("{} +0000", json.replace('T', " ")),
        None => text.to_owned(),
    };
    let mut words = text.split_whitespace();
    let (date, clock) = (words.next()?, words.next()?);
    if words.next()? != "+0000" {
        return None;
    }
    let numbers = |text: &str, between: char| -> Option<[u64; 3]> {
        text.split(between).map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>()?.try_into().ok()
    };
    let [year, month, day] = numbers(date, '-')?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers(clock, ':')?;
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let nanos: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let days = days(year, month, day);
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

/// Days from the beginning of 1970. The year begins in March here, so that the leap day is its last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{LockInfo, time};

    const ERROR: &str = "Error: Error acquiring the state lock\n\nError message: HTTP remote state already locked:\n\
                         ID=1b2c-3\nLock Info:\n  ID:        1b2c-3\n  Path:      \n  Operation: OperationTypeApply\n  \
                         Who:       root@runner-0\n  Version:   1.5.5\n  Created:   2026-05-04 06:40:01.5 +0000 UTC\n  \
                         Info:      \n\n\nTerraform acquires a state lock to protect the state";

    #[test]
    fn the_holder_of_a_lock_is_read_from_terraforms_error() {
        let lock = LockInfo::read(ERROR).unwrap();
        assert_eq!((lock.id.as_str(), lock.who.as_str()), ("1b2c-3", "root@runner-0"));
        assert_eq!(lock.operation, "OperationTypeApply");
        let created = SystemTime::UNIX_EPOCH + Duration::from_millis(1_777_876_801_500);
        assert_eq!(lock.created, Some(created));
        for (age, text) in
            [(1, "1 second"), (119, "119 seconds"), (120, "2 minutes"), (7200, "2 hours"), (200_000, "2 days")]
        {
            assert_eq!(lock.age(created + Duration::from_secs(age)), format!("{text} ago"));
        }
    }

    #[test]
    fn where_terraform_shows_its_own_attempt_only_the_id_of_the_holder_is_known() {
        let lock = LockInfo::read(&ERROR.replace("ID=1b2c-3", "ID=other")).unwrap();
        assert_eq!((lock.id.as_str(), lock.who.as_str(), lock.created), ("other", "somebody", None));
    }

    #[test]
    fn what_does_not_name_a_lock_is_none() {
        for other in [
            "Error: Error acquiring the state lock\n\nError message: 403",
            "Error: something else\nLock Info:\n  ID: 1",
            &ERROR.replace("1b2c-3", "-force"),
            &ERROR.replace("1b2c-3", "a;b"),
            "",
        ] {
            assert_eq!(LockInfo::read(other), None, "{other}");
        }
    }

    #[test]
    fn times_are_read_to_the_second_or_not_at_all() {
        let seconds = |text| time(text).map(|t| t.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs());
        assert_eq!(seconds("1970-01-01 00:00:00 +0000 UTC"), Some(0));
        assert_eq!(seconds("2024-02-29 23:59:59.123456789 +0000 UTC"), Some(1_709_251_199));
        assert_eq!(seconds("2024-02-29T23:59:59.5Z"), Some(1_709_251_199));
        assert_eq!(seconds("2100-03-01 00:00:00 +0000 UTC"), Some(4_107_542_400));
        for other in ["", "2024-02-29", "2024-02-29 23:59:59 +0200 CEST", "2024-13-01 00:00:00 +0000 UTC", "x y z"] {
            assert_eq!(seconds(other), None, "{other}");
        }
    }
}
