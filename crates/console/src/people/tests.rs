//! Log-in from end to end, without HTTP.

use super::*;
use crate::{actor::Role, audit::Audit};

const PASSWORD: &str = "cavalo bateria grampo";

async fn people(second_step: bool) -> (People, Audit) {
    let store = Store::in_memory(&[1; 32]).unwrap();
    let audit = Audit::new(store.clone());
    let config = Config { second_step, ..Config::default() };
    (People::new(store, audit.clone(), &config), audit)
}

async fn with_ana(second_step: bool) -> (People, Audit) {
    let (people, audit) = people(second_step).await;
    people.add_for_test("ana", Role::Admin, PASSWORD).await.unwrap();
    (people, audit)
}

/// Sets a second step up; the secret, the session and the recovery codes.
async fn second_step(people: &People) -> (Vec<u8>, NewSession, Vec<String>) {
    let first = people.log_in("ana", PASSWORD, None).await.unwrap();
    assert_eq!(first.stage, Stage::SetUpSecondStep);
    let session = people.session(&first.secret).await.unwrap().unwrap();
    let offer = people.offer_second_step(&session).await.unwrap();
    let account = people.account("ana").await.unwrap().unwrap();
    let secret = people.store.unseal("totp", &account.totp_offered.unwrap()).unwrap();
    assert_eq!(totp::base32(&secret), offer.secret);
    let code = totp::code_at(&secret, now_ms() / 30_000);
    let (inside, codes) = people.confirm_second_step(&first.secret, &code, None).await.unwrap();
    assert_eq!(people.session(&first.secret).await.unwrap().map(|s| s.name), None, "the half-way session is over");
    (secret, inside, codes)
}

#[tokio::test]
async fn a_first_link_makes_one_admin() {
    let (people, _) = people(false).await;
    let old = people.first_link().await.unwrap().unwrap();
    let link = people.first_link().await.unwrap().unwrap();
    assert_eq!(people.link(&old).await.unwrap(), None, "a new one ends the old one");
    assert_eq!(people.link(&link).await.unwrap(), Some(Link::FirstAdmin));
    assert!(matches!(people.redeem(&link, "ana", "short", None).await, Err(LogInError::Wrong(_))));
    assert!(matches!(people.redeem(&link, "a b", PASSWORD, None).await, Err(LogInError::Wrong(_))));
    let session = people.redeem(&link, "ana", PASSWORD, None).await.unwrap();
    let session = people.session(&session.secret).await.unwrap().unwrap();
    assert_eq!((session.name.as_str(), session.role, session.stage), ("ana", Role::Admin, Stage::In));
    assert!(matches!(people.redeem(&link, "eve", PASSWORD, None).await, Err(LogInError::Refused)), "once");
    assert_eq!(people.first_link().await.unwrap(), None, "there is somebody");
    assert!(people.log_in("ANA", PASSWORD, None).await.is_ok());
}

#[tokio::test]
async fn two_who_hold_one_link_cannot_both_use_it() {
    let (people, _) = people(false).await;
    let link = people.first_link().await.unwrap().unwrap();
    let both = tokio::join!(people.redeem(&link, "ana", PASSWORD, None), people.redeem(&link, "eve", PASSWORD, None));
    assert_eq!(u8::from(both.0.is_ok()) + u8::from(both.1.is_ok()), 1);
    assert_eq!(people.accounts().await.unwrap().len(), 1);
}

#[tokio::test]
async fn who_does_not_come_in_learns_nothing() {
    let (people, audit) = with_ana(false).await;
    people.add_for_test("bea", Role::Viewer, PASSWORD).await.unwrap();
    people.change(&Actor::local("test"), "bea", None, Some(true)).await.unwrap();
    people.add(&Actor::local("test"), "carla", Role::Viewer).await.unwrap();
    let long = "x".repeat(1_000_000);
    for (name, password) in
        [("ana", "wrong"), ("nobody", PASSWORD), ("bea", PASSWORD), ("carla", ""), ("", ""), ("ana", long.as_str())]
    {
        let error = people.log_in(name, password, None).await.unwrap_err();
        assert!(matches!(error, LogInError::Refused), "{name}: {error}");
    }
    let rows = audit.page(None, 100).await.unwrap();
    let failed: Vec<_> = rows.iter().filter(|row| row.action == Action::LogInFailed).collect();
    assert!(failed.iter().all(|row| ["ana", "bea", "carla", ""].contains(&row.target.as_str())), "{failed:?}");
}

#[tokio::test]
async fn tries_slow_down_for_account_and_address() {
    let (people, _) = with_ana(false).await;
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    for _ in 0..4 {
        assert!(matches!(people.log_in("ana", "wrong password", Some(address)).await, Err(LogInError::Refused)));
    }
    let other: IpAddr = "192.0.2.2".parse().unwrap();
    let error = people.log_in("ana", PASSWORD, Some(other)).await.unwrap_err();
    assert!(matches!(error, LogInError::Wait(1..)), "{error}");
    assert!(matches!(people.log_in("bea", "x", Some(other)).await, Err(LogInError::Refused)), "others may go on");
}

#[tokio::test]
async fn a_second_step_is_wanted_and_a_code_works_once() {
    let (people, audit) = with_ana(true).await;
    let (secret, inside, codes) = second_step(&people).await;
    assert_eq!((inside.stage, codes.len()), (Stage::In, 10));
    let half = people.log_in("ana", PASSWORD, None).await.unwrap();
    assert_eq!(half.stage, Stage::SecondStep);
    let session = people.session(&half.secret).await.unwrap().unwrap();
    assert!(people.offer_second_step(&session).await.is_err(), "half way in nobody replaces the second step");
    assert!(people.change_password(&session, PASSWORD, "another long password", None).await.is_err());
    let step = now_ms() / 30_000;
    let used = totp::code_at(&secret, step);
    let replayed = people.second_step(&half.secret, &used, None).await;
    assert!(matches!(replayed, Err(LogInError::Refused)), "the code that set it up is used up");
    let next = totp::code_at(&secret, step + 1);
    let inside = people.second_step(&half.secret, &next, None).await.unwrap();
    assert_eq!(inside.stage, Stage::In);
    assert_ne!(inside.secret, half.secret, "the secret changes with the privilege");
    assert!(people.session(&half.secret).await.unwrap().is_none());
    let again = people.log_in("ana", PASSWORD, None).await.unwrap();
    assert!(people.second_step(&again.secret, &next, None).await.is_err(), "replayed");
    // A recovery code stands in, once.
    let typed = codes[3].to_lowercase().replace('-', " ");
    assert!(people.second_step(&again.secret, &typed, None).await.is_ok());
    let again = people.log_in("ana", PASSWORD, None).await.unwrap();
    assert!(people.second_step(&again.secret, &codes[3], None).await.is_err());
    let rows = audit.page(None, 100).await.unwrap();
    assert!(rows.iter().any(|row| row.action == Action::UsedRecoveryCode));
}

#[tokio::test]
async fn codes_cannot_be_guessed_one_after_another() {
    let (people, _) = with_ana(true).await;
    second_step(&people).await;
    let half = people.log_in("ana", PASSWORD, None).await.unwrap();
    let mut refused = 0;
    for guess in 0..20 {
        match people.second_step(&half.secret, &format!("{guess:06}"), None).await {
            Err(LogInError::Refused) => refused += 1,
            Err(LogInError::Wait(_)) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused <= 4, "{refused} guesses in a row");
}

#[tokio::test]
async fn sessions_end() {
    let (people, _) = with_ana(false).await;
    people.add_for_test("bea", Role::Admin, PASSWORD).await.unwrap();
    let ana = Actor::local("test");
    let begin = async || people.log_in("ana", PASSWORD, None).await.unwrap().secret;
    let holds = async |secret: &str| people.session(secret).await.unwrap().is_some();

    let one = begin().await;
    people.log_out(&one, None).await.unwrap();
    assert!(!holds(&one).await);

    let (one, two) = (begin().await, begin().await);
    let session = people.session(&one).await.unwrap().unwrap();
    assert!(!session.fits(&people.session(&two).await.unwrap().unwrap().csrf), "each its own token");
    people.log_out_all(&session, None).await.unwrap();
    assert!(!holds(&one).await && !holds(&two).await);

    let (one, two) = (begin().await, begin().await);
    let session = people.session(&one).await.unwrap().unwrap();
    assert!(people.change_password(&session, "wrong", "another long password", None).await.is_err());
    let three = people.change_password(&session, PASSWORD, "another long password", None).await.unwrap().secret;
    assert!(!holds(&one).await && !holds(&two).await && holds(&three).await);

    people.change(&ana, "ana", Some(Role::Viewer), None).await.unwrap();
    assert!(!holds(&three).await, "a role takes effect at the next log-in");
    let reset = people.reset(&ana, "ana").await.unwrap();
    assert!(people.log_in("ana", "another long password", None).await.is_err());
    let session = people.redeem(&reset, "ignored", PASSWORD, None).await.unwrap();
    assert_eq!(people.session(&session.secret).await.unwrap().unwrap().name, "ana");

    // Old and idle ones.
    for (column, age) in [("created_ms", people.bounds.absolute_ms), ("seen_ms", people.bounds.idle_ms)] {
        let one = begin().await;
        let ended = now_ms() - age - 1;
        let sql = format!("UPDATE sessions SET {column} = ?1");
        people.store.write(move |db| Ok(db.execute(&sql, [ended])?)).await.unwrap();
        assert!(!holds(&one).await, "{column}");
    }
    for nonsense in ["", "x", &"0".repeat(64), &"z".repeat(64), &"0".repeat(100_000)] {
        assert!(!holds(nonsense).await);
    }
}

#[tokio::test]
async fn the_last_admin_stays() {
    let (people, _) = with_ana(false).await;
    let by = Actor::local("test");
    for change in [(Some(Role::Viewer), None), (None, Some(true))] {
        assert!(matches!(people.change(&by, "ana", change.0, change.1).await, Err(LogInError::Wrong(_))));
    }
    people.add_with_password(&by, "bea", Role::Admin, PASSWORD).await.unwrap();
    assert!(people.change(&by, "ana", None, Some(true)).await.is_ok());
}

#[tokio::test]
async fn tokens_have_scopes_and_an_end() {
    let (people, _) = with_ana(false).await;
    let by = Actor::local("test");
    let new = |days| NewToken { name: "siem".into(), scopes: vec![Scope::Read, Scope::Read], days };
    use crate::actor::Scope;
    let (token, info) = people.add_token(&by, &new(1)).await.unwrap();
    let actor = people.token_actor(&token, None).await.unwrap().unwrap();
    assert_eq!((actor.name.as_str(), &actor.scopes), ("token:siem", &vec![Scope::Read]));
    assert!(people.add_token(&by, &new(0)).await.is_err());
    assert!(people.token_actor(&token[..token.len() - 1], None).await.unwrap().is_none());
    assert!(people.token_actor(&token.replace("guarita_", "guarita-"), None).await.unwrap().is_none());
    let kept = people.store.read(|db| Ok(db.query_row("SELECT hash FROM tokens", [], |row| row.get::<_, Vec<u8>>(0))?));
    assert!(!kept.await.unwrap().ends_with(token.as_bytes()));
    people.store.write(|db| Ok(db.execute("UPDATE tokens SET expires_ms = 1", [])?)).await.unwrap();
    assert!(people.token_actor(&token, None).await.unwrap().is_none());
    assert!(!people.remove_token(&by, info.id + 7).await.unwrap());
}
