//! Takes the program, and nothing else, out of an archive.

use std::fs::{File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    #[error("it is damaged")]
    Damaged(#[source] ZipError),
    #[error("it holds no file {program}")]
    Missing { program: &'static str },
    #[error("its entry {name:?} would lie outside the folder")]
    Outside { name: String },
    #[error("its entry {name:?} is a link")]
    Link { name: String },
    #[error("its {program} has more than {most} bytes")]
    TooLarge { program: &'static str, most: u64 },
    #[error("its content cannot be read")]
    Read(#[source] io::Error),
    #[error("it could not be written to disk")]
    Disk(#[source] io::Error),
}

/// Unpacks the file `program` of the archive to `to`, a file that everybody may run and that is on disk when
/// this returns.
///
/// An archive with an entry that could harm anybody is refused, even though only one is unpacked.
pub(crate) fn unpack(archive: &Path, program: &'static str, to: &Path, most: u64) -> Result<(), UnpackError> {
    let file = File::open(archive).map_err(UnpackError::Disk)?;
    let mut archive = ZipArchive::new(io::BufReader::new(file)).map_err(UnpackError::Damaged)?;
    let mut found = None;
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(UnpackError::Damaged)?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        if entry.enclosed_name().is_none() || name.starts_with('/') || name.split(['/', '\\']).any(|part| part == "..")
        {
            return Err(UnpackError::Outside { name });
        }
        if entry.is_symlink() {
            return Err(UnpackError::Link { name });
        }
        if name == program {
            found = Some(index);
        }
    }
    let mut entry = archive.by_index(found.ok_or(UnpackError::Missing { program })?).map_err(UnpackError::Damaged)?;
    if entry.size() > most {
        return Err(UnpackError::TooLarge { program, most });
    }
    let mut target = File::create_new(to).map_err(UnpackError::Disk)?;
    // What an entry says of its size need not be so.
    if copy(&mut (&mut entry).take(most + 1), &mut target)? > most {
        return Err(UnpackError::TooLarge { program, most });
    }
    target.set_permissions(Permissions::from_mode(0o755)).map_err(UnpackError::Disk)?;
    target.sync_all().map_err(UnpackError::Disk)
}

/// Like [`io::copy`], but tells which side failed.
fn copy(from: &mut impl io::Read, to: &mut File) -> Result<u64, UnpackError> {
    let mut buffer = vec![0; 64 * 1024];
    let mut copied = 0;
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(UnpackError::Read(error)),
        };
        io::Write::write_all(to, &buffer[..read]).map_err(UnpackError::Disk)?;
        copied += read as u64;
    }
}
