//! A command that the runner orders from a supervisor, as it goes over the line.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// What is to be run. It goes over the line and not into the arguments of the supervisor, which others could see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Order {
    /// A file with its standard input, removed once it is opened.
    pub(crate) stdin: Option<OsString>,
    /// Whether its standard output goes to the supervisor's standard output, not to the log.
    pub(crate) capture_stdout: bool,
    pub(crate) cwd: OsString,
    /// A path, or a name that is looked up in the `PATH` of `env`.
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    /// Its whole environment.
    pub(crate) env: BTreeMap<OsString, OsString>,
}

impl Order {
    /// `<length>\n`, then the fields, each closed by a zero byte: no path, argument or variable can hold one.
    pub(crate) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let stdin = self.stdin.as_deref().unwrap_or_default();
        let capture = OsStr::new(if self.capture_stdout { "1" } else { "" });
        let count = OsString::from(self.args.len().to_string());
        let head = [stdin, capture, &self.cwd, &self.program, &count];
        let args = self.args.iter().map(OsString::as_os_str);
        let env = self.env.iter().flat_map(|(name, value)| [name.as_os_str(), value.as_os_str()]);
        let mut fields = Vec::new();
        for field in head.into_iter().chain(args).chain(env) {
            if field.as_bytes().contains(&0) {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "a zero byte in a command"));
            }
            fields.extend_from_slice(field.as_bytes());
            fields.push(0);
        }
        Ok([format!("{}\n", fields.len()).as_bytes(), &fields].concat())
    }

    /// The next order; none at the end of the line.
    #[cfg(any(target_os = "linux", test))]
    pub(super) fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut length = String::new();
        if from.read_line(&mut length)? == 0 {
            return Ok(None);
        }
        let broken = || io::Error::from(io::ErrorKind::InvalidData);
        let mut bytes = vec![0; length.trim_end().parse().map_err(|_| broken())?];
        from.read_exact(&mut bytes)?;
        Self::from_fields(&bytes).map(Some).ok_or_else(broken)
    }

    #[cfg(any(target_os = "linux", test))]
    fn from_fields(bytes: &[u8]) -> Option<Self> {
        let fields = bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0);
        let mut fields = fields.map(|field| OsString::from_vec(field.to_vec()));
        let stdin = Some(fields.next()?).filter(|path| !path.is_empty());
        let capture_stdout = !fields.next()?.is_empty();
        let (cwd, program) = (fields.next()?, fields.next()?);
        let count: usize = fields.next()?.to_str()?.parse().ok()?;
        let args: Vec<OsString> = fields.by_ref().take(count).collect();
        let mut env = BTreeMap::new();
        while let Some(name) = fields.next() {
            env.insert(name, fields.next()?);
        }
        (args.len() == count).then_some(Self { stdin, capture_stdout, cwd, program, args, env })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_arrives_as_it_was_given() {
        let order = Order {
            stdin: Some("/run/stdin-1".into()),
            capture_stdout: true,
            cwd: "/run/a b".into(),
            program: "git".into(),
            args: vec!["".into(), "a\nb".into(), OsString::from_vec(vec![0xff, b'='])],
            env: BTreeMap::from([("A".into(), "b=c\n".into()), ("EMPTY".into(), "".into())]),
        };
        let bare = Order { program: "/bin/true".into(), cwd: "/".into(), ..Order::default() };
        let line = [order.to_bytes().unwrap(), bare.to_bytes().unwrap()].concat();
        let mut line = line.as_slice();
        assert_eq!(Order::read(&mut line).unwrap(), Some(order));
        assert_eq!(Order::read(&mut line).unwrap(), Some(bare));
        assert_eq!(Order::read(&mut line).unwrap(), None);
    }

    #[test]
    fn a_zero_byte_cannot_turn_one_field_into_two() {
        let order = Order { args: vec!["a\0b".into()], ..Order::default() };
        assert_eq!(order.to_bytes().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn an_order_that_is_cut_off_is_none() {
        let order = Order { program: "rm".into(), args: vec!["-r".into(), "x".into()], ..Order::default() };
        let whole = order.to_bytes().unwrap();
        for length in 1..whole.len() {
            assert!(Order::read(&mut &whole[..length]).is_err(), "{length}");
        }
    }
}
