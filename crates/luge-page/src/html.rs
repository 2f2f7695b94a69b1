//! The page: a template with styles, scripts and data in it.

use crate::assets::{
    CHART_JS, COMMON_JS, DEPTH_JS, LENS_CSS, MAP_JS, PAGE_CSS, PAGE_HTML, PAGE_JS,
};
use crate::data::LensPage;
use crate::template::{escape_json, escape_text, fill};

/// The page of `luge lens`: a whole HTML document that loads nothing.
///
/// The data lies in it as JSON, in `<script type="application/json" id="data">`.
///
/// # Panics
/// Never: there is nothing in the data that JSON could not hold.
pub fn html(data: &LensPage) -> String {
    let json = serde_json::to_string(data).expect("numbers, texts and lists");
    fill(PAGE_HTML, |name| match name {
        "title" => escape_text(&data.title),
        "style" => [LENS_CSS, PAGE_CSS].concat(),
        "data" => escape_json(&json),
        "script" => [COMMON_JS, MAP_JS, CHART_JS, DEPTH_JS, PAGE_JS].concat(),
        other => unreachable!("the template asks for {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "</script><script>alert(1)</script><!-- <img src=x \
         onerror='alert(2)'> \"&amp;\" {{script}} \u{2028}\u{2029}\0";

    fn page(text: &str) -> String {
        html(&LensPage {
            title: text.into(),
            tokens: [(7, text.into())].into(),
            ..LensPage::default()
        })
    }

    /// What the page's scripts get to read.
    fn data(page: &str) -> &str {
        let (_, rest) = page.split_once("id=\"data\">").unwrap();
        rest.split_once("</script>").unwrap().0
    }

    #[test]
    fn texts_arrive_as_they_are() {
        let page = page(HOSTILE);
        let read: serde_json::Value = serde_json::from_str(data(&page)).unwrap();
        assert_eq!(read["title"], HOSTILE);
        assert_eq!(read["tokens"]["7"], HOSTILE);
    }

    #[test]
    fn texts_are_not_markup() {
        let (harmless, hostile) = (page("text"), page(HOSTILE));
        for markup in ["<script", "</script", "<!--", "<img"] {
            let count = |page: &str| page.matches(markup).count();
            assert_eq!(count(&hostile), count(&harmless), "{markup}");
        }
        assert!(!data(&hostile).contains(['<', '>', '&', '\u{2028}', '\u{2029}']));
        assert!(hostile.contains("<title>&lt;/script&gt;&lt;script&gt;alert(1)"));
    }

    #[test]
    fn scripts_and_styles_do_not_end_early() {
        for script in [COMMON_JS, MAP_JS, CHART_JS, DEPTH_JS, PAGE_JS] {
            assert!(!script.contains("</script") && !script.contains("<!--"));
        }
        for style in [LENS_CSS, PAGE_CSS] {
            assert!(!style.contains("</style"));
        }
    }

    #[test]
    fn nothing_is_loaded() {
        let page = page("text");
        assert!(page.contains("default-src 'none'"));
        for address in ["http://", "https://", " src=", "@import", "import "] {
            let without_svg = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!without_svg.contains(address), "{address}");
        }
    }
}
