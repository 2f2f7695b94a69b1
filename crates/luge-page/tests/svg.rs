//! The pictures, looked at with an XML parser.

use std::collections::BTreeMap;

use insta::assert_snapshot;
use luge_page::{LensPage, Position, Votes, svg};
use roxmltree::{Document, Node};

const HOSTILE: &str = "</text><script>alert('1')</script> & \"&amp;\" <!-- ]]> \0\u{1}\u{1B}\u{7F}\u{85}\u{202E}\u{FFFE}\u{FFFF}\r\n\t";

/// As the method sees it, Victoria; as the final layer does, Vancouver.
fn victoria() -> LensPage {
    let tokens = [
        (1, " British"),
        (2, " Columbia"),
        (3, " is"),
        (4, " Victoria"),
        (5, " Vancouver"),
        (6, "\n"),
        (7, " a"),
    ];
    let given = |position, id, next, rows: [(u32, f64); 3]| Position {
        position,
        id,
        next: Some(next),
        before: rows[2],
        after: rows[2],
        settling_depth: 4,
        top: rows.map(|first| vec![first]).to_vec(),
        ..Position::default()
    };
    let changed = Position {
        generated: true,
        after: (4, 0.46),
        changed: true,
        paths: vec![
            (4, vec![0.0002, 0.4, 0.25]),
            (5, vec![0.0, 0.2, 0.5]),
            (7, vec![0.62, 0.1, 0.0001]),
        ],
        votes: Some(Votes {
            tokens: vec![5, 4, 9],
            layers: vec![0, 2],
            shares: vec![vec![0.0, 0.0, 0.2], vec![0.2, 0.5, 0.1]],
        }),
        ..given(2, 3, 4, [(7, 0.62), (4, 0.4), (5, 0.5)])
    };
    LensPage {
        title: "British Columbia is".into(),
        model: "atlas".into(),
        method: "sled(evolution-rate=2)".into(),
        method_name: "sled".into(),
        exit_norm: "raw".into(),
        layers: vec![0, 2, 4],
        tokens: tokens.map(|(id, text)| (id, text.to_owned())).into(),
        positions: vec![
            given(0, 1, 2, [(6, 0.1), (2, 0.55), (2, 0.98)]),
            given(1, 2, 3, [(7, 1.0), (7, 0.3), (3, 0.7)]),
            changed,
            Position {
                next: None,
                generated: false,
                ..given(3, 4, 6, [(7, 0.2), (6, 0.04), (6, 0.6)])
            },
        ],
        ..LensPage::default()
    }
}

/// A text of so many positions, with so many layers.
fn long(positions: usize, layers: usize) -> LensPage {
    let top = vec![vec![(1, 0.3)]; layers];
    let position = |position| Position { position, id: 1, top: top.clone(), ..Position::default() };
    LensPage {
        layers: (0..layers).collect(),
        tokens: [(0, " next".into()), (1, " token".into())].into(),
        positions: (0..positions).map(position).collect(),
        ..LensPage::default()
    }
}

/// The heat map, and each position in depth.
fn pictures(page: &LensPage) -> Vec<String> {
    let open = [None].into_iter().chain((0..page.positions.len()).map(Some));
    open.map(|open| svg(&LensPage { open, ..page.clone() })).collect()
}

fn attribute<'a>(node: &Node<'a, '_>, name: &str) -> &'a str {
    node.attribute(name).unwrap_or_default()
}

fn number(node: &Node<'_, '_>, name: &str) -> f64 {
    attribute(node, name).parse().unwrap()
}

fn has_class(node: &Node<'_, '_>, class: &str) -> bool {
    attribute(node, "class").split(' ').any(|other| other == class)
}

fn texts(node: &Node<'_, '_>) -> String {
    node.descendants().filter_map(|node| node.text().filter(|_| node.is_text())).collect()
}

/// The names of all elements but those within texts.
fn elements(picture: &Document<'_>) -> Vec<String> {
    let names = picture.descendants().map(|node| node.tag_name().name().to_owned());
    let mut names: Vec<_> = names.filter(|name| !["", "tspan"].contains(&&name[..])).collect();
    // A long caption has more lines.
    names.dedup();
    names
}

#[test]
fn all_positions_are_a_heat_map() {
    assert_snapshot!(svg(&victoria()));
}

#[test]
fn one_position_is_a_chart() {
    assert_snapshot!(svg(&LensPage { open: Some(2), ..victoria() }));
}

#[test]
fn texts_are_not_markup() {
    let harmless = victoria();
    let mut hostile = LensPage {
        title: HOSTILE.into(),
        model: HOSTILE.into(),
        method: HOSTILE.into(),
        method_name: HOSTILE.into(),
        exit_norm: HOSTILE.into(),
        ..victoria()
    };
    hostile.tokens.values_mut().for_each(|text| *text = HOSTILE.into());
    for (harmless, hostile) in pictures(&harmless).iter().zip(pictures(&hostile)) {
        let hostile = Document::parse(&hostile).unwrap();
        assert_eq!(elements(&hostile), elements(&Document::parse(harmless).unwrap()));
        let title = hostile.descendants().find(|node| attribute(node, "id") == "title").unwrap();
        assert!(
            title.text().unwrap().starts_with("</text><script>alert('1')</script> & \"&amp;\"")
        );
        assert!(title.text().unwrap().contains("\u{FFFD}\u{FFFD}"));
    }
}

#[test]
fn odd_data_makes_whole_pictures() {
    let mut empty = victoria();
    empty.tokens.values_mut().for_each(String::clear);
    let mut bare = victoria();
    for position in &mut bare.positions {
        position.top.clear();
        position.paths.clear();
        position.votes = Some(Votes::default());
    }
    let mut broken = victoria();
    for position in &mut broken.positions {
        position.after.1 = f64::NAN;
        position.contrast = Some(99);
        position.settling_depth = 99;
        position.paths = vec![(4, vec![f64::NAN, f64::INFINITY, -1.0]), (7, vec![])];
        let shares = vec![vec![], vec![0.0], vec![0.0; 9]];
        position.votes = Some(Votes { tokens: vec![4, 7], layers: vec![0, 2, 77], shares });
    }
    let pages = [
        LensPage::default(),
        LensPage { tokens: BTreeMap::new(), ..victoria() },
        LensPage { layers: vec![], ..victoria() },
        LensPage { layers: vec![12], ..victoria() },
        long(1, 1),
        long(0, 3),
        empty,
        bare,
        broken,
    ];
    for (page, picture) in
        pages.iter().flat_map(|page| pictures(page).into_iter().map(move |picture| (page, picture)))
    {
        let parsed = Document::parse(&picture)
            .unwrap_or_else(|error| panic!("{error}: {page:?}\n{picture}"));
        let attributes = parsed.descendants().flat_map(|node| node.attributes());
        let places = attributes.filter(|attribute| attribute.name() != "class");
        for place in places {
            assert!(!["NaN", "inf"].iter().any(|odd| place.value().contains(odd)), "{place:?}");
        }
        assert_eq!(parsed.root_element().attribute("role"), Some("img"));
    }
    // One that is not there.
    assert_eq!(svg(&LensPage { open: Some(9), ..victoria() }), svg(&victoria()));
}

#[test]
fn long_texts_are_wrapped_into_blocks() {
    // Of each block: where it is, and how many columns it has.
    let blocks = |positions: usize| -> Vec<usize> {
        let picture = svg(&long(positions, 3));
        let picture = Document::parse(&picture).unwrap();
        assert!(number(&picture.root_element(), "width") <= 1200.0);
        let mut blocks = BTreeMap::new();
        for column in picture.descendants().filter(|node| has_class(node, "tokens")) {
            let (_, y) =
                attribute(&column, "transform").trim_end_matches(')').split_once(' ').unwrap();
            *blocks.entry(y.parse::<usize>().unwrap()).or_insert(0) += 1;
        }
        blocks.into_values().collect()
    };
    assert_eq!(blocks(1), [1]);
    assert_eq!(blocks(14), [14]);
    assert_eq!(blocks(15), [8, 7]);
    assert_eq!(blocks(40), [14, 14, 12]);
    assert_eq!(blocks(1000).len(), 72);
}

#[test]
fn names_do_not_overlap() {
    let mut page = victoria();
    page.open = Some(2);
    for pinned in [0, 3, 40] {
        page.pinned = (100..100 + pinned).collect();
        page.positions[2].paths.truncate(3);
        // Three at one height each, at the top, in the middle, and at the bottom.
        let path = |id| (id, vec![0.1, 0.2, [1.0, 0.5, 0.0][id as usize % 3]]);
        page.positions[2].paths.extend((100..140).map(path));
        let picture = svg(&page);
        let picture = Document::parse(&picture).unwrap();
        let names = picture.descendants().filter(|node| has_class(node, "name"));
        let mut places: Vec<f64> = names.map(|name| number(&name, "y")).collect();
        assert_eq!(places.len(), (2 + pinned as usize).max(6));
        places.sort_by(f64::total_cmp);
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 15.0), "{places:?}");
        let height = number(&picture.root_element(), "height");
        assert!(places[0] > 60.0 && *places.last().unwrap() < height - 40.0);
    }
}

#[test]
fn what_the_method_changed_is_said() {
    let picture = svg(&victoria());
    let picture = Document::parse(&picture).unwrap();
    let of_class = |class| -> Vec<String> {
        picture
            .descendants()
            .filter(|node| has_class(node, class))
            .map(|node| texts(&node))
            .collect()
    };
    assert_eq!(of_class("changed"), ["·Victoria", "token"]);
    assert_eq!(of_class("instead"), ["·Vancouver"]);
    assert_eq!(of_class("guess"), ["⏎"]);
    assert_eq!(of_class("generated"), ["generated", "·Victoria"]);

    // In a given text that has a third token, the method changed nothing.
    let mut page = victoria();
    page.positions[2].next = Some(7);
    assert!(!svg(&page).contains("class='instead'"));
}

#[test]
fn numbers_are_short() {
    for picture in pictures(&victoria()) {
        for (at, _) in picture.match_indices('.') {
            let decimals = picture[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
            assert!(decimals <= 2, "{}", &picture[at - 20..at + 20]);
        }
    }
}
