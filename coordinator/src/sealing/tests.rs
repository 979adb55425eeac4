//! What opens, what does not, and what is said then.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::MetadataExt as _;

use super::*;

fn sealing() -> (tempfile::TempDir, DataDir, Sealing) {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::at(dir.path());
    let sealing = Sealing::make(&data).unwrap();
    (dir, data, sealing)
}

#[test]
fn what_is_sealed_opens_for_its_own_place_only() {
    let (_dir, _, sealing) = sealing();
    let sealed = sealing.seal(FENCE_PARAMETER, "lb02/power/password", "hunter2").unwrap();
    assert!(is_sealed(&sealed) && !sealed.contains("hunter2"), "{sealed}");
    assert_ne!(sealed, sealing.seal(FENCE_PARAMETER, "lb02/power/password", "hunter2").unwrap());
    assert_eq!(sealing.open(FENCE_PARAMETER, "lb02/power/password", &sealed).unwrap(), "hunter2");
    for (purpose, name) in [(FENCE_PARAMETER, "lb01/power/password"), (GENERATION, "lb02/power/password")] {
        let error = sealing.open(purpose, name, &sealed).unwrap_err();
        assert!(matches!(error, SealError::Damaged { .. }), "{error}");
    }
}

#[test]
fn every_damaged_byte_is_found() {
    let (_dir, _, sealing) = sealing();
    let sealed = sealing.seal(GENERATION, "1", "text").unwrap();
    let bytes = STANDARD.decode(sealed.strip_prefix(PREFIX).unwrap()).unwrap();
    for index in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[index] ^= 1;
        let text = format!("{PREFIX}{}", STANDARD.encode(damaged));
        assert!(sealing.open(GENERATION, "1", &text).is_err(), "byte {index}");
        let short = format!("{PREFIX}{}", STANDARD.encode(&bytes[..index]));
        assert!(sealing.open(GENERATION, "1", &short).is_err(), "cut at {index}");
    }
    for text in ["", "text", "sealed:v1:", "sealed:v1:%", "sealed:v2:AAAA"] {
        assert!(matches!(sealing.open(GENERATION, "1", text), Err(SealError::NotSealed)), "{text}");
    }
}

/// RFC 8439 section 2.8.2, the library's own AEAD in our frame: the format is what it says.
#[test]
fn the_format_is_chacha20_poly1305_with_the_place_as_associated_data() {
    let bytes: Vec<u8> = (0x80..=0x9f).collect();
    let key = Key::parse(&format!("hafleet-secrets-key:v1:{}\n", STANDARD.encode(bytes))).unwrap();
    let nonce = [0x07, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
    let place = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
    let ciphertext = "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b\
                      1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc\
                      3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691";
    let hex = |text: &str| -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    };
    let mut sealed = [&[0; 4][..], &nonce, &hex(ciphertext)].concat();
    let opened = key.open(&place, &mut sealed).unwrap();
    let sunscreen = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen \
                     would be it.";
    assert_eq!(std::str::from_utf8(opened).unwrap(), sunscreen);
}

#[test]
fn a_missing_and_a_wrong_key_are_told_apart() {
    let (_dir, data, sealing) = sealing();
    let sealed = sealing.seal(GENERATION, "1", "text").unwrap();
    fs::rename(data.join(SECRETS_KEY), data.join("elsewhere")).unwrap();
    let none = Sealing::load(&data).unwrap();
    assert!(!none.has_key());
    let said = none.open(GENERATION, "1", &sealed).unwrap_err().to_string();
    assert!(said.contains("secrets.key is missing: put it back"), "{said}");
    assert!(matches!(none.seal(GENERATION, "1", "text"), Err(SealError::Missing { .. })));
    let other = Sealing::make(&data).unwrap();
    let said = other.open(GENERATION, "1", &sealed).unwrap_err().to_string();
    assert!(
        said.starts_with("it is sealed with the key ") && said.contains("secrets.key is the key "),
        "{said}"
    );
    fs::rename(data.join("elsewhere"), data.join(SECRETS_KEY)).unwrap();
    assert_eq!(Sealing::load(&data).unwrap().open(GENERATION, "1", &sealed).unwrap(), "text");
}

/// Root may run `secret seal` for a coordinator that runs as another user.
#[test]
fn a_key_belongs_to_the_owner_of_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::at(dir.path());
    // Only root can give it away; everybody else owns both.
    let _ = std::os::unix::fs::chown(dir.path(), Some(12_345), Some(12_345));
    Sealing::make(&data).unwrap();
    let owner = |path: &Path| (fs::metadata(path).unwrap().uid(), fs::metadata(path).unwrap().gid());
    assert_eq!(owner(&data.join(SECRETS_KEY)), owner(dir.path()));
}

#[test]
fn a_key_is_made_once_and_for_its_owner_only() {
    let (_dir, data, sealing) = sealing();
    let sealed = sealing.seal(GENERATION, "1", "text").unwrap();
    assert_eq!(Sealing::make(&data).unwrap().open(GENERATION, "1", &sealed).unwrap(), "text");
    let path = data.join(SECRETS_KEY);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1, "nothing is left beside it");
    let shown = format!("{sealing:?}");
    assert!(
        !shown.contains(fs::read_to_string(&path).unwrap().trim_end().rsplit(':').next().unwrap()),
        "{shown}"
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Sealing::load(&data), Err(SealingError::Mode { mode: 0o640, .. })));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for wrong in ["", "hafleet-secrets-key:v1:AAAA\n", "AAAA"] {
        fs::write(&path, wrong).unwrap();
        assert!(matches!(Sealing::load(&data), Err(SealingError::NoKey { .. })), "{wrong:?}");
    }
}
