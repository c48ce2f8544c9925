//! SVG: a picture that a browser may run. Script, handlers and links that run; forms and frames inside a foreign object;
//! content fetched from elsewhere. A drawing without any of these says nothing.

use super::bytes::lossy;
use super::html;
use super::links;
use super::report::Report;

const PICTURE_BYTES_MAX: usize = 16 << 20;

pub fn inspect(data: &[u8], report: &mut dyn Report) {
    let text = lossy(data.get(..PICTURE_BYTES_MAX.min(data.len())).unwrap_or_default());
    let page = html::read(&text, report);
    html::say(&page, "files/svg-script", report);
    // A frame of the reader's own machine shows nothing of a stranger's.
    if let Some(to) = page.frame.as_ref().or(page.redirect.as_ref()).filter(|to| !links::is_own_machine(to)) {
        report.fact("files/svg-frame", to);
    } else if page.form {
        report.fact("files/svg-frame", "a form inside a picture");
    }
    if let Some(url) = &page.fetched {
        report.fact("files/svg-external", url);
    }
    if let Some(url) = &page.external {
        report.link(url);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;

    #[test]
    fn pictures_that_run() {
        let check = |body: &str, expect: &[&str]| {
            let mut seen = Seen::default();
            inspect(format!("<svg xmlns='http://www.w3.org/2000/svg'>{body}</svg>").as_bytes(), &mut seen);
            assert_eq!(seen.rules(), expect, "{body}");
        };
        check("<rect width='1' height='1'/>", &[]);
        check("<style>a{b:c}</style><a xlink:href='https://example.com'><text>x</text></a>", &[]);
        check("<image href='data:image/png;base64,iVBORw0KGgo='/>", &[]);
        check("<foreignObject><div>label</div></foreignObject>", &[]);
        check("<script>alert(1)</script>", &["files/svg-script"]);
        check("<svg:script href='https://evil.example/x.js'/>", &["files/svg-script"]);
        check("<animate onbegin='alert(1)' attributeName='x'/>", &["files/svg-script"]);
        check("<set attributeName='onmouseover' to='alert(1)'/>", &["files/svg-script"]);
        check("<handler ev:event='load'>alert(1)</handler>", &["files/svg-script"]);
        // Another site's shapes are not shown by any browser.
        check("<use xlink:href='https://example.com/x.svg#a'/>", &[]);
        check("<use xlink:href='#a'/>", &[]);
        check("<set attributeName='href' to='javascript:alert(1)'/>", &["files/svg-script"]);
        check("<foreignObject><iframe src='https://evil.example'/></foreignObject>", &["files/svg-frame"]);
        check("<foreignObject><iframe src='http://localhost/'/></foreignObject>", &[]);
        check(
            "<foreignObject><form><input type='password'/></form></foreignObject>",
            &["files/html-password-form", "files/svg-frame"],
        );
        check("<use href='data:image/svg+xml;base64,PHN2Zz4='/>", &["files/html-data-url"]);
        check("<use href='data:image/svg+xml;base64,PHN2Zz4=#x'/>", &["files/html-data-url"]);
        check("<image href='file:///etc/passwd'/>", &["files/svg-external"]);
        check("<image href='text:/etc/passwd'/>", &["files/svg-external"]);
        check("<use href='#a'/><image href='https://example.com/a.png'/>", &[]);
        check("<title><![CDATA[</title><script>x</script>]]></title>", &["files/svg-script"]);
    }
}
