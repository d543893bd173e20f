//! Signing in as its users see it, over shards in a map.

use super::refresh::LEEWAY_S;
use super::*;
use crate::limits::TOKEN_TTL_MAX_S;
use crate::test_shards::{TestShards, keys};
use trunkline_shards::store::{Revocation, UserKey};

const NOW_S: u64 = 1_000_000;

fn policy() -> Policy {
    Policy { password_memory_kib: 64, password_passes: 1, ..Policy::default() }
}

fn desk(policy: Policy) -> SignIn<TestShards> {
    SignIn::new(TestShards::new(3), keys(), policy).unwrap()
}

fn typed<'a>(handle: &'a str, password: &'a str, device_name: &'a str) -> Typed<'a> {
    Typed { handle, password, device_name, from: IpAddr::from([127, 0, 0, 1]) }
}

#[test]
fn whoever_signs_up_can_sign_in() {
    let desk = desk(policy());
    let first = desk.sign_up(NOW_S, &typed("Alice", "correct horse", "laptop")).unwrap();
    assert_eq!((first.handle.as_str(), first.device), ("Alice", DeviceId(1)));
    let claims = keys().verify(&first.access_token, NOW_S).unwrap();
    assert_eq!((claims.user, claims.device, claims.scopes), (first.user, DeviceId(1), Scopes::USER));
    assert_eq!((claims.expires_s, first.access_expires_s), (NOW_S + 900, NOW_S + 900));
    let second = desk.sign_in(NOW_S + 5, &typed("aLICE", "correct horse", " phone ")).unwrap();
    assert_eq!((second.user, second.device, second.handle.as_str()), (first.user, DeviceId(2), "Alice"));
    let devices = desk.devices(NOW_S + 6, &first.access_token).unwrap();
    let shown = devices.iter().map(|device| (device.device.0, device.name.as_str(), device.since_s));
    assert!(shown.eq([(1, "laptop", NOW_S), (2, "phone", NOW_S + 5)]));
}

#[test]
fn what_is_wrong_is_told_and_what_is_unknown_is_not() {
    let desk = desk(policy());
    desk.sign_up(NOW_S, &typed("alice", "correct horse", "")).unwrap();
    for (typed, error) in [
        (typed("ALICE", "other password", ""), SignInError::Taken),
        (typed("bob", "short", ""), SignInError::PasswordLength),
        (typed("bob", "long enough", "two\nlines"), SignInError::DeviceName),
    ] {
        assert_eq!(desk.sign_up(NOW_S, &typed), Err(error));
    }
    assert!(matches!(desk.sign_up(NOW_S, &typed("a b", "long enough", "")), Err(SignInError::Handle(_))));
    for (handle, password) in [("alice", "correct horsf"), ("bob", "correct horse"), ("a b", "x"), ("alice", "")] {
        assert_eq!(desk.sign_in(NOW_S, &typed(handle, password, "")), Err(SignInError::Wrong), "{handle} {password}");
    }
    let closed = self::desk(Policy { sign_up: false, ..policy() });
    assert_eq!(closed.sign_up(NOW_S, &typed("bob", "long enough", "")), Err(SignInError::SignUpClosed));
}

#[test]
fn an_account_by_an_operator_has_no_password() {
    let desk = desk(policy());
    desk.accounts(NOW_S).add("carol", None).unwrap();
    for password in ["", "anything at all"] {
        assert_eq!(desk.sign_in(NOW_S, &typed("carol", password, "")), Err(SignInError::Wrong));
    }
}

#[test]
fn a_refresh_token_is_good_once_and_a_copy_of_it_ends_the_device() {
    let desk = desk(policy());
    let first = desk.sign_up(NOW_S, &typed("alice", "correct horse", "")).unwrap();
    let other = desk.sign_in(NOW_S, &typed("alice", "correct horse", "other")).unwrap();
    let second = desk.refresh(NOW_S + 800, &first.refresh_token).unwrap();
    assert_eq!((second.user, second.device, second.handle.as_str()), (first.user, first.device, "alice"));
    assert_eq!(second.access_expires_s, NOW_S + 1_700);
    assert!(desk.refresh(NOW_S + 800 + LEEWAY_S - 1, &first.refresh_token).is_ok(), "its answer may have been lost");
    let at = NOW_S + 2_000;
    assert_eq!(desk.refresh(at, &first.refresh_token), Err(SignInError::TokenCopied));
    assert_eq!(desk.refresh(at, &second.refresh_token), Err(SignInError::TokenInvalid));
    assert_eq!(desk.refresh(at, &first.refresh_token), Err(SignInError::TokenInvalid));
    assert!(desk.refresh(at, &other.refresh_token).is_ok(), "other devices go on");
    assert_eq!(desk.devices(NOW_S, &other.access_token).unwrap().len(), 1);
}

#[test]
fn who_signs_out_or_stays_away_signs_in_again() {
    let desk = desk(policy());
    let first = desk.sign_up(NOW_S, &typed("alice", "correct horse", "")).unwrap();
    let second = desk.sign_in(NOW_S, &typed("alice", "correct horse", "")).unwrap();
    assert_eq!(desk.sign_out(NOW_S, &first.refresh_token), Ok(()));
    assert_eq!(desk.refresh(NOW_S, &first.refresh_token), Err(SignInError::TokenInvalid));
    assert_eq!(desk.sign_out(NOW_S, &first.refresh_token), Err(SignInError::TokenInvalid));
    let late_s = NOW_S + policy().refresh_ttl_s;
    assert_eq!(desk.refresh(late_s, &second.refresh_token), Err(SignInError::TokenInvalid));
    assert!(desk.sign_in(late_s, &typed("alice", "correct horse", "")).is_ok());
    for wrong in ["", "tlr_", &first.access_token, &second.refresh_token[..20]] {
        assert_eq!(desk.refresh(NOW_S, wrong), Err(SignInError::TokenInvalid), "{wrong}");
        assert_eq!(desk.sign_out(NOW_S, wrong), Err(SignInError::TokenInvalid), "{wrong}");
    }
    for wrong in ["", &first.refresh_token, &first.access_token[1..]] {
        assert_eq!(desk.devices(NOW_S, wrong), Err(SignInError::TokenInvalid), "{wrong}");
    }
    assert_eq!(desk.devices(NOW_S + 900, &first.access_token), Err(SignInError::TokenInvalid), "it has expired");
}

#[test]
fn devices_are_bounded_and_silent_ones_make_room() {
    let desk = desk(policy());
    let alice = typed("alice", "correct horse", "");
    let first = desk.sign_up(NOW_S, &alice).unwrap();
    let fill = |account: &mut Account, _| {
        let device = account.devices[&1].clone();
        account.devices.extend((2..=DEVICES_MAX as u32).map(|number| (number, device.clone())));
        Ok(())
    };
    desk.accounts(NOW_S).change(first.user, false, fill).unwrap();
    assert_eq!(desk.sign_in(NOW_S + 1, &alice), Err(SignInError::TooManyDevices));
    let late = desk.sign_in(NOW_S + policy().refresh_ttl_s, &alice).unwrap();
    assert_eq!(desk.devices(NOW_S + policy().refresh_ttl_s, &late.access_token).unwrap().len(), 1);
}

#[test]
fn faults_of_the_store_are_told_as_what_they_are() {
    use trunkline_shards::contract::AdminAnswer;
    let desk = desk(policy());
    desk.sign_up(NOW_S, &typed("alice", "correct horse", "")).unwrap();
    for (answer, code) in
        [(AdminAnswer::StorageFull, "storage_full"), (AdminAnswer::StorageUnavailable, "storage_unavailable")]
    {
        desk.shards.answer_next(Ok(answer));
        let error = desk.sign_in(NOW_S, &typed("alice", "correct horse", "")).unwrap_err();
        assert_eq!(error.code(), code, "and not that the password is wrong");
    }
}

#[test]
fn a_device_that_is_signed_out_is_out() {
    let desk = desk(policy());
    let first = desk.sign_up(NOW_S, &typed("alice", "correct horse", "laptop")).unwrap();
    let second = desk.sign_in(NOW_S, &typed("alice", "correct horse", "phone")).unwrap();
    let refreshed = desk.refresh(NOW_S + 100, &second.refresh_token).unwrap();
    desk.revoke_device(NOW_S + 200, &first.access_token, second.device).unwrap();
    for token in [&second.access_token, &refreshed.access_token] {
        assert_eq!(desk.authenticate(NOW_S + 200, token), Err(SignInError::TokenInvalid));
    }
    assert_eq!(desk.refresh(NOW_S + 200, &refreshed.refresh_token), Err(SignInError::TokenInvalid));
    let key = UserKey { tenant: TENANT, user: first.user };
    let of = |device, until_s| Revocation { until_s, key, device: Some(device), issued_to_s: u64::MAX };
    // Until the last of its tokens has ended.
    assert_eq!(desk.shards.revocations(), [of(second.device, NOW_S + 1_000)]);
    // A second time, as after an answer that was lost; it is in force for longer than need be.
    desk.revoke_device(NOW_S + 200, &first.access_token, second.device).unwrap();
    for none in [0, 3, u32::MAX] {
        let refused = desk.revoke_device(NOW_S + 200, &first.access_token, DeviceId(none));
        assert_eq!(refused, Err(SignInError::UnknownDevice));
    }
    desk.sign_out(NOW_S + 300, &first.refresh_token).unwrap();
    assert_eq!(desk.devices(NOW_S + 300, &first.access_token), Err(SignInError::TokenInvalid));
    assert_eq!(desk.shards.revocations()[2..], [of(first.device, NOW_S + 900)]);
}

#[test]
fn a_token_by_an_operator_can_be_revoked() {
    let desk = desk(policy());
    let first = desk.sign_up(NOW_S, &typed("alice", "correct horse", "laptop")).unwrap();
    let issued = desk.accounts(NOW_S).token("alice", Some(86_400)).unwrap();
    assert!(desk.authenticate(NOW_S + 80_000, &issued.token).is_ok());
    desk.revoke_device(NOW_S + 10, &first.access_token, issued.device).unwrap();
    assert_eq!(desk.authenticate(NOW_S + 80_000, &issued.token), Err(SignInError::TokenInvalid));
    assert_eq!(desk.shards.revocations()[0].until_s, NOW_S + 10 + TOKEN_TTL_MAX_S);
}

#[test]
fn a_copied_token_ends_its_sessions_too() {
    let desk = desk(policy());
    let first = desk.sign_up(NOW_S, &typed("alice", "correct horse", "")).unwrap();
    let second = desk.refresh(NOW_S + 50, &first.refresh_token).unwrap();
    assert_eq!(desk.refresh(NOW_S + 50 + LEEWAY_S, &first.refresh_token), Err(SignInError::TokenCopied));
    assert_eq!(desk.authenticate(NOW_S + 60, &second.access_token), Err(SignInError::TokenInvalid));
    assert_eq!(desk.shards.revocations()[0].until_s, NOW_S + 950);
}

#[test]
fn devices_are_renamed() {
    let desk = desk(policy());
    let first = desk.sign_up(NOW_S, &typed("alice", "correct horse", "laptop")).unwrap();
    desk.rename_device(NOW_S, &first.access_token, first.device, " Küche ").unwrap();
    assert_eq!(desk.devices(NOW_S, &first.access_token).unwrap()[0].name, "Küche");
    let rename = |device, name| desk.rename_device(NOW_S, &first.access_token, DeviceId(device), name);
    assert_eq!(rename(2, "x"), Err(SignInError::UnknownDevice));
    assert_eq!(rename(1, "a\nb"), Err(SignInError::DeviceName));
}

#[test]
fn a_token_without_the_scope_of_a_user_opens_no_account() {
    let desk = desk(policy());
    let claims = Claims {
        tenant: TENANT,
        user: UserId(5),
        device: DeviceId(1),
        scopes: Scopes::IMPORT,
        issued_s: NOW_S,
        expires_s: NOW_S + 9,
    };
    assert_eq!(desk.authenticate(NOW_S, &keys().sign(&claims)), Err(SignInError::TokenInvalid));
}

#[test]
fn who_is_suspended_is_out_until_that_ends() {
    let desk = desk(policy());
    let alice = typed("alice", "correct horse", "");
    let first = desk.sign_up(NOW_S, &alice).unwrap();
    desk.accounts(NOW_S).set_suspended(first.user, true).unwrap();
    assert_eq!(desk.sign_in(NOW_S, &alice), Err(SignInError::Suspended));
    assert_eq!(desk.sign_in(NOW_S, &typed("alice", "wrong horse", "")), Err(SignInError::Wrong), "nobody else is told");
    assert_eq!(desk.refresh(NOW_S, &first.refresh_token), Err(SignInError::Suspended));
    let asked = desk.people(NOW_S, &first.access_token).err();
    assert_eq!(asked, Some(crate::people::PeopleError::Account(SignInError::TokenInvalid)));
    desk.accounts(NOW_S).set_suspended(first.user, false).unwrap();
    assert_eq!(desk.refresh(NOW_S, &first.refresh_token), Err(SignInError::TokenInvalid), "it signs in anew");
    let again = desk.sign_in(NOW_S + 1, &alice).unwrap();
    assert!(desk.authenticate(NOW_S + 1, &again.access_token).is_ok());
}
