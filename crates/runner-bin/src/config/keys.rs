//! The private keys, newest first. Source: `protocol/encryption.md`, "Keys".

use std::io::Read;
use std::path::{Path, PathBuf};

use meshstack_client::{PrivateKey, Secret};

use super::problem::Place;
use super::reader::{Found, Reader};
use super::settings::Setting;

/// Largest key file, in bytes. An RSA key of 16384 bits has 13 thousand.
const MAX_BYTES: u64 = 256 << 10;
/// Looked for, in this order, where no file is configured.
const DEFAULT_FILES: [&str; 2] = ["runner-private.pem", "/app/runner-private.pem"];
/// The name of a secret that the platform hands over as a file.
const SECRET: &str = "RUNNER_PRIVATE_KEY";

/// Reads every configured key.
///
/// First the current one (`privateKeyFile`, a default file, a secret of the platform, or `privateKey`; a file beats an
/// inline key), then
/// `privateKeyFiles` and `privateKeys`, each in its order.
pub(super) fn read(reader: &mut Reader<'_>) -> Vec<PrivateKey> {
    let mut keys = Vec::new();
    keys.extend(current(reader));
    for found in reader.list(Setting::PrivateKeyFiles) {
        let Some(path) = reader.expand_home(&found) else { continue };
        match read_file(&reader.directory.join(&path), &path) {
            Ok(key) => keys.push(key),
            Err(text) => reader.mistake(found.place, text),
        }
    }
    for found in reader.list(Setting::PrivateKeys) {
        keys.extend(inline(reader, &found));
    }
    keys
}

fn current(reader: &mut Reader<'_>) -> Option<PrivateKey> {
    let written = reader.one(Setting::PrivateKey);
    if let Some(found) = reader.one(Setting::PrivateKeyFile) {
        let path = reader.expand_home(&found)?;
        let file = reader.directory.join(&path);
        if let Some(written) = written.filter(|_| !file.exists()) {
            let text =
                format!("The private key file {} does not exist: `{}` is used instead.", path.display(), written.name);
            reader.warning(found.place, text);
            return inline(reader, &written);
        }
        return read_file(&file, &path).map_err(|text| reader.mistake(found.place, text)).ok();
    }
    if reader.is_broken(Setting::PrivateKeyFile) {
        return None;
    }
    if let Some(default) = default_file(reader) {
        let found = Found {
            text: default.display().to_string(),
            place: Place::File(default.clone()),
            name: reader.name_of(Setting::PrivateKeyFile),
            secret_file: None,
        };
        reader.looked_up.insert(Setting::PrivateKeyFile, vec![found]);
        let file = reader.directory.join(&default);
        return read_file(&file, &default).map_err(|text| reader.mistake(Place::Nowhere, text)).ok();
    }
    inline(reader, &written?)
}

/// The file that is taken where none is configured.
fn default_file(reader: &Reader<'_>) -> Option<PathBuf> {
    let default = DEFAULT_FILES.map(PathBuf::from).into_iter().find(|file| reader.directory.join(file).exists());
    default.or_else(|| reader.environment.secret_file(SECRET))
}

fn inline(reader: &mut Reader<'_>, found: &Found) -> Option<PrivateKey> {
    let mistake = match PrivateKey::from_pem(&found.text) {
        Ok(key) => return Some(key),
        Err(mistake) => mistake,
    };
    reader.mistake(found.place.clone(), format!("The private key in `{}` cannot be used: {mistake}.", found.name));
    None
}

fn read_file(file: &Path, shown: &Path) -> Result<PrivateKey, String> {
    let shown = shown.display();
    let mut text = String::new();
    let read = std::fs::File::open(file).and_then(|opened| opened.take(MAX_BYTES).read_to_string(&mut text));
    let text = Secret::new(text);
    read.map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            format!("The private key file {shown} does not exist. Correct the path, or mount the key there.")
        }
        std::io::ErrorKind::InvalidData => {
            format!("The private key file {shown} is no text. It must hold an RSA key in PEM.")
        }
        _ => format!("The private key file {shown} cannot be read ({e}). Check its permissions."),
    })?;
    PrivateKey::from_pem(text.expose()).map_err(|e| format!("The private key file {shown} cannot be used: {e}."))
}
