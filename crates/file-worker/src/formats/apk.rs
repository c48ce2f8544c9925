//! Android apps: who made them and what they ask for. An app that calls itself WhatsApp without WhatsApp's certificate is
//! an unofficial one; one that reads messages, drives the screen, covers it and installs others is a banker.

use super::axml::{self, Element, Value};
use super::bytes::{cut, index, take, u32_le, u64_le};
use super::der;
use super::report::Report;
use super::zip_parts::Parts;
use guarita_rules::files::Apps;
use sha2::{Digest, Sha256};

/// What an app says of itself.
#[derive(Debug, Default)]
pub struct App {
    pub package: String,
    pub label: String,
    pub version: String,
    pub target_sdk: Option<u32>,
    pub permissions: Vec<String>,
    /// Permissions that its services hold (`BIND_ACCESSIBILITY_SERVICE`).
    pub services: Vec<String>,
    /// SHA-256 of each signing certificate, and whom the first names.
    pub certificates: Vec<String>,
    pub signer: String,
}

pub fn inspect(name: &str, data: &[u8], apps: &Apps, report: &mut dyn Report) {
    let app = read(data, report);
    if !app.package.is_empty() {
        let target = app.target_sdk.map_or(String::new(), |sdk| format!(", target {sdk}"));
        let seen = format!(
            "{} \"{}\" {}{target}, signed by {}",
            app.package,
            app.label,
            app.version,
            if app.signer.is_empty() { "nobody we could read" } else { &app.signer }
        );
        report.fact("files/app-identity", &seen);
    }
    if let Some(claim) = claims_whatsapp(name, &app, apps) {
        let official = app.certificates.iter().any(|hash| apps.certificates.contains(hash));
        if !official {
            report.fact("files/app-unofficial-whatsapp", cut(&claim, 140));
        }
    }
    judge_permissions(&app, report);
}

fn read(data: &[u8], report: &mut dyn Report) -> App {
    let mut app = App::default();
    let Some(parts) = Parts::read(data) else { return app };
    if let Some(elements) = parts.get(b"AndroidManifest.xml", report).and_then(|manifest| axml::elements(&manifest)) {
        let mut label = None;
        for element in &elements {
            read_element(element, &mut app, &mut label);
        }
        app.label = match label {
            Some(Value::Text(text)) => text,
            Some(Value::Reference(id)) => parts
                .get(b"resources.arsc", report)
                .and_then(|table| axml::resource_text(&table, id))
                .unwrap_or_default(),
            _ => String::new(),
        };
    }
    let mut certificates: Vec<Vec<u8>> = block_certificates(data, parts.directory);
    let signatures: Vec<&[u8]> = parts.names().filter(|name| is_signature(name)).take(4).collect();
    for name in signatures {
        if let Some(signature) = parts.get(name, report) {
            certificates.extend(der::certificates(&signature).into_iter().map(<[u8]>::to_vec));
        }
    }
    app.signer = certificates.first().and_then(|certificate| der::subject(certificate)).unwrap_or_default();
    app.certificates = certificates.iter().take(16).map(|certificate| hex(&Sha256::digest(certificate))).collect();
    app
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_signature(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name).to_ascii_uppercase();
    name.starts_with("META-INF/") && [".RSA", ".DSA", ".EC"].iter().any(|end| name.ends_with(end))
}

fn read_element(element: &Element, app: &mut App, label: &mut Option<Value>) {
    match element.name.as_str() {
        "manifest" => {
            app.package = element.text("package").unwrap_or_default().to_owned();
            app.version = element.text("versionName").unwrap_or_default().to_owned();
        }
        "application" => *label = element.get("label").cloned(),
        "uses-sdk" => {
            if let Some(Value::Number(sdk)) = element.get("targetSdkVersion") {
                app.target_sdk = Some(*sdk);
            }
        }
        "uses-permission" | "uses-permission-sdk-23" if app.permissions.len() < 500 => {
            app.permissions.extend(element.text("name").map(str::to_owned))
        }
        "service" | "receiver" if app.services.len() < 500 => {
            app.services.extend(element.text("permission").map(str::to_owned))
        }
        _ => {}
    }
}

/// Certificates of the APK signing block (schemes 2, 3 and 3.1), which stands before the zip's directory.
fn block_certificates(data: &[u8], directory: usize) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let _ = read_block(data, directory, &mut out);
    out
}

fn read_block(data: &[u8], directory: usize, out: &mut Vec<Vec<u8>>) -> Option<()> {
    let footer = directory.checked_sub(24)?;
    if take(data, footer + 8, 16)? != b"APK Sig Block 42" {
        return None;
    }
    let size = usize::try_from(u64_le(data, footer)?).ok()?;
    let block = data.get(directory.checked_sub(size)?..footer)?;
    let mut at = 0;
    for _ in 0..64 {
        let length = usize::try_from(u64_le(block, at)?).ok()?;
        let id = u32_le(block, at + 8)?;
        let value = take(block, at + 12, length.checked_sub(4)?)?;
        if matches!(id, 0x7109_871a | 0xf053_68c0 | 0x1b93_ad61) {
            let _ = read_signers(value, out);
        }
        at = at.checked_add(8)?.checked_add(length)?;
    }
    Some(())
}

/// A part that its length stands before; `at` moves behind it.
fn part<'a>(data: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let length = index(u32_le(data, *at)?);
    let body = take(data, at.checked_add(4)?, length)?;
    *at += 4 + length;
    Some(body)
}

fn read_signers(value: &[u8], out: &mut Vec<Vec<u8>>) -> Option<()> {
    let signers = part(value, &mut 0)?;
    let mut at = 0;
    while out.len() < 16 {
        let signer = part(signers, &mut at)?;
        let signed = part(signer, &mut 0)?;
        let mut inner = 0;
        let _digests = part(signed, &mut inner)?;
        let certificates = part(signed, &mut inner)?;
        out.push(part(certificates, &mut 0)?.to_vec());
    }
    Some(())
}

/// Why the app passes for WhatsApp; `None`: it does not.
fn claims_whatsapp(name: &str, app: &App, apps: &Apps) -> Option<String> {
    let plain = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let package = app.package.to_ascii_lowercase();
    let label = plain(&app.label);
    if apps.packages.iter().any(|known| package == *known || package.starts_with(&format!("{known}.")))
        || package.contains("whatsapp")
    {
        return Some(format!("package {}", app.package));
    }
    if apps.words.iter().any(|word| label.contains(word.as_str())) {
        return Some(format!("label {}", app.label));
    }
    let shown = plain(name.rsplit(['/', '\\']).next().unwrap_or_default());
    if apps.words.iter().any(|word| shown.contains(word.as_str())) {
        return Some(format!("file name {name}"));
    }
    None
}

fn judge_permissions(app: &App, report: &mut dyn Report) {
    let asks = |names: &[&str]| {
        names.iter().any(|name| app.permissions.iter().chain(&app.services).any(|known| known.ends_with(name)))
    };
    let reads = asks(&[".RECEIVE_SMS", ".READ_SMS"]) || asks(&[".BIND_NOTIFICATION_LISTENER_SERVICE"]);
    let drives = asks(&[".BIND_ACCESSIBILITY_SERVICE"]);
    let covers = asks(&[".SYSTEM_ALERT_WINDOW"]);
    let installs = asks(&[".REQUEST_INSTALL_PACKAGES"]) || asks(&[".BIND_DEVICE_ADMIN"]);
    let signs: Vec<&str> = [
        (reads, "reads messages"),
        (drives, "drives the screen"),
        (covers, "covers other apps"),
        (installs, "installs apps"),
    ]
    .into_iter()
    .filter_map(|(seen, what)| seen.then_some(what))
    .collect();
    if drives && signs.len() >= 3 {
        report.fact("files/app-banker", &signs.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;
    use crate::formats::{axml, der, zip_parts};

    fn apps() -> Apps {
        let official = der::tests::certificate("WhatsApp Inc.");
        Apps {
            packages: vec!["com.whatsapp".into(), "com.gbwhatsapp".into()],
            words: vec!["whatsapp".into()],
            certificates: vec![hex(&Sha256::digest(official))],
        }
    }

    fn app(package: &str, label: &str, permissions: &[&str], service: &str, signer: &str) -> Vec<u8> {
        let mut tags: Vec<(&str, Vec<(&str, &str)>)> =
            vec![("manifest", vec![("package", package)]), ("application", vec![("label", label)])];
        tags.extend(permissions.iter().map(|name| ("uses-permission", vec![("name", *name)])));
        tags.push(("service", vec![("permission", service)]));
        let tags: Vec<(&str, &[(&str, &str)])> =
            tags.iter().map(|(name, attributes)| (*name, attributes.as_slice())).collect();
        let signature = der::tests::signature(&der::tests::certificate(signer));
        zip_parts::tests::build(&[
            ("AndroidManifest.xml", &axml::tests::manifest(&tags)),
            ("META-INF/CERT.RSA", &signature),
            ("classes.dex", b"dex"),
        ])
    }

    #[test]
    fn apps_by_who_made_them_and_what_they_ask() {
        let check = |name: &str, file: &[u8], expect: &[&str]| {
            let mut seen = Seen::default();
            inspect(name, file, &apps(), &mut seen);
            let rules: Vec<&str> = seen.rules().into_iter().filter(|rule| *rule != "files/app-identity").collect();
            assert_eq!(rules, expect, "{:?}", seen.facts);
        };
        check("WhatsApp.apk", &app("com.whatsapp", "WhatsApp", &[], "x", "WhatsApp Inc."), &[]);
        check("a.apk", &app("com.whatsapp", "WhatsApp", &[], "x", "Somebody"), &["files/app-unofficial-whatsapp"]);
        check("a.apk", &app("com.gbwhatsapp", "GB", &[], "x", "Somebody"), &["files/app-unofficial-whatsapp"]);
        check("a.apk", &app("org.x", "Whats App Plus", &[], "x", "Somebody"), &["files/app-unofficial-whatsapp"]);
        check("GBWhatsApp_v17.apk", b"not even a zip", &["files/app-unofficial-whatsapp"]);
        check("a.apk", &app("org.notes", "Notes", &["android.permission.READ_SMS"], "x", "Somebody"), &[]);
        let asks = [
            "android.permission.RECEIVE_SMS",
            "android.permission.SYSTEM_ALERT_WINDOW",
            "android.permission.REQUEST_INSTALL_PACKAGES",
        ];
        check(
            "a.apk",
            &app("org.x", "Update", &asks, "android.permission.BIND_ACCESSIBILITY_SERVICE", "x"),
            &["files/app-banker"],
        );
    }
}
