//! Certificates made for a test: authorities, servers' and clients' certificates.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber, date_time_ymd,
};

/// An authority.
pub struct Authority {
    /// Its own certificate, in PEM form.
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM form.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Pair {
    /// Writes both into a folder, the key for its owner alone.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        use std::os::unix::fs::PermissionsExt as _;
        let certificate = folder.join(format!("{name}.crt"));
        let key = folder.join(format!("{name}.key"));
        std::fs::write(&certificate, &self.certificate).expect("a certificate");
        std::fs::write(&key, &self.key).expect("a key");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        (certificate, key)
    }
}

/// What a certificate says.
#[derive(Clone, Copy, Debug)]
pub struct Says<'s> {
    /// Its common name.
    pub common: &'s str,
    /// The hosts in its subjectAltName.
    pub hosts: &'s [&'s str],
    /// The year in which it ends.
    pub until: i32,
}

fn params(says: Says<'_>) -> CertificateParams {
    let hosts: Vec<String> = says.hosts.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(hosts).expect("names");
    params
        .distinguished_name
        .push(DnType::CommonName, says.common);
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(says.until, 1, 1);
    params
}

fn is_authority(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
}

impl Authority {
    pub fn new(common: &str) -> Self {
        let mut params = params(Says {
            common,
            hosts: &[],
            until: 2090,
        });
        is_authority(&mut params);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    /// Issues a certificate, to a server or to a client.
    pub fn issue(&self, says: Says<'_>) -> Pair {
        self.issue_numbered(says, 7)
    }

    pub fn issue_numbered(&self, says: Says<'_>, number: u64) -> Pair {
        let mut params = params(says);
        params.serial_number = Some(SerialNumber::from(number));
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().expect("a key");
        Pair {
            certificate: params
                .signed_by(&key, &self.issuer)
                .expect("a certificate")
                .pem(),
            key: key.serialize_pem(),
        }
    }

    /// The list of what was withdrawn.
    pub fn withdraws(&self, number: u64) -> String {
        CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(number),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&self.issuer)
        .expect("a list")
        .pem()
        .expect("PEM")
    }
}

/// A certificate that vouches for itself, as the manual's recipe for a quick start makes it.
pub fn self_signed(says: Says<'_>) -> Pair {
    let mut params = params(says);
    is_authority(&mut params);
    let key = KeyPair::generate().expect("a key");
    Pair {
        certificate: params.self_signed(&key).expect("a certificate").pem(),
        key: key.serialize_pem(),
    }
}
