//! Which registration a process's evidence fits.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn set(selectors: &[&str]) -> BTreeSet<Selector> {
    selectors.iter().map(|text| text.parse().unwrap()).collect()
}

fn registration(name: &str, selectors: &[&str]) -> Registration {
    Registration::new(name.parse().unwrap(), set(selectors)).unwrap()
}

#[test]
fn all_selectors_have_to_fit_and_the_most_of_them_win() {
    let all = [
        registration("mqtt", &["systemd:id:mqtt.service"]),
        registration("mqtt-bridge", &["systemd:id:mqtt.service", "unix:uid:1001"]),
        registration("other", &["systemd:id:mqtt.service", "unix:gid:5"]),
    ];
    let whose =
        |evidence: &[&str]| registered(&all, &set(evidence)).map(|found| found.name.as_str());
    let unit = "systemd:id:mqtt.service";
    assert_eq!(whose(&[unit]), Ok("mqtt"));
    assert_eq!(whose(&[unit, "unix:uid:1001"]), Ok("mqtt-bridge"));
    assert_eq!(whose(&["unix:uid:1001"]), Err(Unregistered::None));
    assert_eq!(
        whose(&["systemd:id:mqtt.services", "unix:uid:1001"]),
        Err(Unregistered::None)
    );
    assert_eq!(
        whose(&[unit, "unix:uid:1001", "unix:gid:5"]),
        Err(Unregistered::Ambiguous)
    );
    assert_eq!(whose(&[]), Err(Unregistered::None));
}

#[test]
fn a_registration_names_a_unit_or_a_container() {
    let new = |selectors: &[&str]| Registration::new("a".parse().unwrap(), set(selectors));
    for named in [
        "systemd:id:a.service",
        "docker:image_id:x",
        "docker:label:k:v",
        "podman:image_config_digest:sha256:00",
    ] {
        assert!(new(&[named, "unix:uid:1"]).is_ok(), "{named}");
    }
    let unnamed = ["unix:uid:1001", "unix:path:/usr/bin/a", "unix:sha256:00"];
    assert_eq!(new(&unnamed), Err(InvalidRegistration::Unnamed));
    assert_eq!(new(&[]), Err(InvalidRegistration::Unnamed));
}
