//! Whether a server's certificate will do, by libpq's rules and not by a browser's.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::verify_server_name,
};

/// How much of a certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// That a root vouches for it.
    Chain,
    /// And that it bears the host's name.
    ChainAndName,
}

/// The checks of one connection. That the server holds the certificate's key is always checked.
#[derive(Debug)]
pub(super) struct Verifier {
    provider: Arc<CryptoProvider>,
    trust: Option<Trust>,
}

#[derive(Debug)]
struct Trust {
    webpki: Arc<WebPkiServerVerifier>,
    roots: Vec<CertificateDer<'static>>,
    depth: Depth,
}

impl Verifier {
    /// Takes any certificate: the connection is encrypted, its other end unknown.
    pub fn of_nothing(provider: Arc<CryptoProvider>) -> Self {
        Self {
            provider,
            trust: None,
        }
    }

    /// Takes what the roots vouch for.
    ///
    /// # Errors
    /// What is wrong with a root or a list of withdrawn certificates.
    pub fn of_roots(
        provider: Arc<CryptoProvider>,
        roots: Vec<CertificateDer<'static>>,
        revoked: Vec<CertificateRevocationListDer<'static>>,
        depth: Depth,
    ) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        for root in &roots {
            store.add(root.clone()).map_err(|error| error.to_string())?;
        }
        let webpki =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider))
                .with_crls(revoked)
                .build()
                .map_err(|error| error.to_string())?;
        Ok(Self {
            provider,
            trust: Some(Trust {
                webpki,
                roots,
                depth,
            }),
        })
    }
}

impl Trust {
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), Error> {
        let verified = self
            .webpki
            .verify_server_cert(certificate, intermediates, name, ocsp, now);
        match (verified, self.depth) {
            (Ok(_), _) => Ok(()),
            // The name is looked at last: the chain was found good.
            (Err(error), Depth::Chain) if is_wrong_name(&error) => Ok(()),
            // The manual's own recipe for a self-signed certificate makes one that is its own
            // authority, and puts the same file on both sides. OpenSSL takes it for what it is, a
            // certificate that was handed over in person. Its dates were looked at before this.
            (Err(error), depth) if is_own_authority(&error) && self.is_root(certificate) => {
                match depth {
                    Depth::Chain => Ok(()),
                    Depth::ChainAndName => {
                        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)
                    }
                }
            }
            (Err(error), _) => Err(error),
        }
    }

    fn is_root(&self, certificate: &CertificateDer<'_>) -> bool {
        self.roots
            .iter()
            .any(|root| root.as_ref() == certificate.as_ref())
    }
}

fn is_wrong_name(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        )
    )
}

/// rustls has no name of its own for it, and webpki's is hidden behind `dyn Error`.
fn is_own_authority(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            format!("{other:?}").contains("CaUsedAsEndEntity")
        }
        _ => false,
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(trust) = &self.trust {
            trust.verify(end_entity, intermediates, server_name, ocsp_response, now)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
