//! The languages that people are spoken to in.

crate::words! {
    /// As in `policy.notice_language`: of notices, of findings' titles and reasons, of alerts and of the console's pages.
    #[derive(Default)]
    Language {
        #[default]
        Portuguese = "pt-BR",
        English = "en",
        Spanish = "es",
    }
}
