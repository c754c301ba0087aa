//! TLS as the settings want it: roots, our own certificate, versions.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, SupportedProtocolVersion, version};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PgError;
use super::verifier::{Depth, Verifier};
use crate::config::{Roots, TlsFile, TlsMode, TlsSettings, TlsStart, TlsVersion};

/// The longest file that is read: the system's bundle of roots has about a quarter of this.
const MOST_BYTES: u64 = 1024 * 1024;

/// What PostgreSQL calls itself where TLS begins at once; it refuses a client that does not say so.
const PROTOCOL: &[u8] = b"postgresql";

/// Builds what begins TLS on a stream.
///
/// # Errors
/// [`PgError::TlsFile`] where a file cannot be used, or one is missing that the mode needs.
pub(super) fn connector(settings: &TlsSettings) -> Result<MakeRustlsConnect, PgError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(settings, &provider)?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(settings))
        .map_err(|error| PgError::tls_file("TLS", Path::new(""), error.to_string(), ""))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity(settings, &provider)? {
        Some(identity) => builder.with_client_cert_resolver(identity),
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = settings.send_host_name;
    if settings.start == TlsStart::Direct {
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
    }
    Ok(MakeRustlsConnect::new(config))
}

fn versions(settings: &TlsSettings) -> Vec<&'static SupportedProtocolVersion> {
    let span = settings.oldest..=settings.newest;
    [
        (TlsVersion::V1_3, &version::TLS13),
        (TlsVersion::V1_2, &version::TLS12),
    ]
    .into_iter()
    .filter(|(version, _)| span.contains(version))
    .map(|(_, version)| version)
    .collect()
}

/// libpq checks the chain as soon as there is a root certificate, whatever the mode.
fn verifier(settings: &TlsSettings, provider: &Arc<CryptoProvider>) -> Result<Verifier, PgError> {
    let depth = match settings.mode {
        TlsMode::VerifyFull => Depth::ChainAndName,
        _ => Depth::Chain,
    };
    let (roots, file) = match &settings.roots {
        Roots::System => (system_roots()?, Path::new("system")),
        Roots::File(file) => (certificates("the root certificate", file)?, &*file.path),
        Roots::None => (Vec::new(), Path::new("~/.postgresql/root.crt")),
    };
    if roots.is_empty() {
        if settings.mode >= TlsMode::VerifyCa {
            let reason =
                "there is no such file, and sslmode asks for a certificate that is checked";
            let help = "name the file with sslrootcert, or use the system's with sslrootcert=system and sslmode=verify-full";
            return Err(PgError::tls_file(
                "the root certificate",
                file,
                reason,
                help,
            ));
        }
        return Ok(Verifier::of_nothing(Arc::clone(provider)));
    }
    let revoked = match &settings.revoked {
        Some(file) => revocations(file)?,
        None => Vec::new(),
    };
    Verifier::of_roots(Arc::clone(provider), roots, revoked, depth)
        .map_err(|reason| PgError::tls_file("the root certificate", file, reason, ""))
}

fn system_roots() -> Result<Vec<CertificateDer<'static>>, PgError> {
    let found = rustls_native_certs::load_native_certs();
    // Some roots of a system may be unreadable; none at all is a failure.
    match (found.certs.is_empty(), found.errors.first()) {
        (false, _) => Ok(found.certs),
        (true, error) => Err(PgError::tls_file(
            "the root certificate",
            Path::new("system"),
            error.map_or_else(|| "the system has none".into(), ToString::to_string),
            "install the system's certificates (ca-certificates), or name a file with sslrootcert",
        )),
    }
}

/// The text of a file; `None` where there is none, which the log says if somebody named it.
fn read(what: &'static str, file: &TlsFile) -> Result<Option<Vec<u8>>, PgError> {
    let wrong = |reason: String| PgError::tls_file(what, &file.path, reason, "");
    match std::fs::metadata(&file.path) {
        Ok(metadata) if metadata.len() > MOST_BYTES => Err(wrong("it is longer than 1 MiB".into())),
        Ok(_) => std::fs::read(&file.path)
            .map(Some)
            .map_err(|error| wrong(error.to_string())),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            if file.named {
                tracing::warn!(file = %file.path.display(), "{what} is not there: passed over");
            }
            Ok(None)
        }
        Err(error) => Err(wrong(error.to_string())),
    }
}

fn certificates(
    what: &'static str,
    file: &TlsFile,
) -> Result<Vec<CertificateDer<'static>>, PgError> {
    let Some(text) = read(what, file)? else {
        return Ok(Vec::new());
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(PgError::tls_file(
            what,
            &file.path,
            "it is no certificate in PEM form",
            "",
        )),
    }
}

fn revocations(file: &TlsFile) -> Result<Vec<CertificateRevocationListDer<'static>>, PgError> {
    let what = "the list of withdrawn certificates";
    let Some(text) = read(what, file)? else {
        return Ok(Vec::new());
    };
    CertificateRevocationListDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| PgError::tls_file(what, &file.path, "it is no list in PEM form", ""))
}

/// Our own certificate with its key. Without a certificate there is nothing to show.
fn identity(
    settings: &TlsSettings,
    provider: &CryptoProvider,
) -> Result<Option<Arc<dyn ResolvesClientCert>>, PgError> {
    let Some((certificate, key)) = &settings.identity else {
        return Ok(None);
    };
    let chain = certificates("the client certificate", certificate)?;
    if chain.is_empty() {
        return Ok(None);
    }
    let what = "the client key";
    let wrong = |reason: String, help: &str| PgError::tls_file(what, &key.path, reason, help);
    let Some(text) = read(what, key)? else {
        let reason = "there is a client certificate and no key to it".to_owned();
        return Err(wrong(reason, "name the key with sslkey"));
    };
    if is_open_to_others(&key.path) {
        let reason = "others may read it".to_owned();
        let help = "set its permissions to 0600, or 0640 where it belongs to root";
        return Err(wrong(reason, help));
    }
    let key = private_key(text).map_err(|reason| wrong(reason.to_owned(), ""))?;
    let pair = CertifiedKey::from_der(chain, key, provider)
        .map_err(|error| wrong(format!("it does not fit the certificate: {error}"), ""))?;
    Ok(Some(Arc::new(SingleCertAndKey::from(pair))))
}

fn private_key(text: Vec<u8>) -> Result<PrivateKeyDer<'static>, &'static str> {
    let is_encrypted = text.windows(9).any(|word| word == b"ENCRYPTED");
    if is_encrypted {
        return Err("it is encrypted, which quay-doctor does not support");
    }
    PrivateKeyDer::from_pem_slice(&text)
        .ok()
        .or_else(|| PrivateKeyDer::try_from(text).ok())
        .ok_or("it is no private key in PEM or DER form")
}

/// libpq's rule: nobody else; where the key belongs to root, a group may read it.
#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| {
        let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
        metadata.mode() & forbidden != 0
    })
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Path) -> bool {
    false
}
