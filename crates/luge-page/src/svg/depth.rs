//! One position in depth: the probabilities of its tokens from layer to layer, a line
//! each, and how the layers voted.

use super::colour::{AFTER, BEFORE, FAINT, INK, LINES};
use super::frame::{MARGIN, Picture, Rule, document};
use super::words::{context, cut, escape, percent, round, token, token_text};
use crate::data::{LensPage, Position, Votes};

const WIDTH: usize = 860;
/// Where the layers begin, and the names of the lines.
const LEFT: f64 = 66.0;
const RIGHT: f64 = 686.0;
const TOP: f64 = 76.0;
/// The least that a chart is high; more where more lines need names.
const HEIGHT: f64 = 280.0;
/// From one name to the next.
const NAME: f64 = 16.0;
/// From the final layer to the method.
const BEYOND: f64 = 54.0;
/// How many characters there is room for in a name.
const CHARACTERS: usize = 13;
/// How many lines there are, unless more are wanted.
const MOST: usize = 6;
const BARS: f64 = 56.0;

/// A token's line.
struct Line<'a> {
    id: u32,
    /// `[rows]`
    probs: &'a [f64],
    /// Its class, which has its colour.
    class: String,
}

/// From layers and probabilities to places.
struct Plot<'a> {
    page: &'a LensPage,
    position: &'a Position,
    /// A method that is only the final layer has nothing of its own to show.
    has_method: bool,
    /// The layers at the left and at the right end.
    first: usize,
    last: usize,
    /// The x of the last layer; the method is at `RIGHT`.
    end: f64,
    bottom: f64,
    /// The probability at the top.
    most: f64,
}

impl Plot<'_> {
    fn x(&self, layer: usize) -> f64 {
        let span = (self.last - self.first).max(1) as f64;
        let part = (layer.clamp(self.first, self.last) - self.first) as f64 / span;
        round(LEFT + part * (self.end - LEFT))
    }

    fn y(&self, prob: f64) -> f64 {
        // What is not a number becomes 0.
        let part = (prob / self.most).clamp(0.0, 1.0).max(0.0);
        round(self.bottom - part * (self.bottom - TOP))
    }

    /// Where a line ends, and the probability there: the method's, where it chose
    /// the token, otherwise the final layer's.
    fn end(&self, line: &Line<'_>) -> (f64, f64) {
        match self.position.after {
            (after, prob) if self.has_method && after == line.id => (RIGHT, prob),
            _ => (self.end, line.probs.last().copied().unwrap_or(0.0)),
        }
    }
}

pub fn draw(page: &LensPage, index: usize, position: &Position) -> String {
    let lines = lines(position, &page.pinned);
    let voted = position.votes.iter().flat_map(|votes| votes.layers.first());
    let first = page.layers.first().into_iter().chain(voted).min().copied().unwrap_or(0);
    let probs = lines.iter().flat_map(|line| line.probs).copied();
    let highest = probs.fold(position.after.1, f64::max);
    let has_method = page.method_name != "greedy";
    let plot = Plot {
        page,
        position,
        has_method,
        first,
        last: page.layers.last().copied().unwrap_or(first),
        end: if has_method { RIGHT - BEYOND } else { RIGHT },
        bottom: TOP + HEIGHT.max(NAME * lines.len() as f64),
        // A small model may give no token much; then its lines would lie on the floor.
        most: [0.02, 0.05, 0.1, 0.2, 0.5].into_iter().find(|&most| highest <= most).unwrap_or(1.0),
    };

    let mut body = title(page, index, position);
    axes(&mut body, &plot);
    if let Some(layer) = position.contrast {
        contrast(&mut body, &plot, layer);
    }
    // The first line is the most important one, so it is drawn last.
    for line in lines.iter().rev() {
        draw_line(&mut body, &plot, line);
    }
    names(&mut body, &plot, &lines);
    let mut y = plot.bottom + 22.0;
    if let Some(votes) = &position.votes {
        y = bars(&mut body, &plot, votes, &lines, y);
    }

    let said = lines.iter().map(|line| {
        let prob = line.probs.last().copied().unwrap_or(0.0);
        format!("“{}” {}", token_text(page, line.id).trim(), percent(prob))
    });
    let description = format!(
        "Line chart: the probability of the next token by layer. At the final layer: {}.",
        said.collect::<Vec<_>>().join(", ")
    );
    let picture = Picture {
        width: WIDTH,
        bottom: y as usize,
        body,
        place: Some(format!("position {}", position.position)),
        description,
        style: STYLE,
        rules: rules(),
        notes: Vec::new(),
    };
    document(page, picture)
}

const STYLE: &str = "\
.title,.title tspan{font-size:15px}
.title .next{font-weight:600}
.title .guess{font-style:italic;font-weight:400}
.line{fill:none;stroke:currentColor;stroke-width:1.6;stroke-linejoin:round}
.named .line{stroke-width:2.4}
.dot,.bar,.name{fill:currentColor}
.beyond{stroke:currentColor;stroke-width:1.6;stroke-dasharray:3 3}
.result{stroke:currentColor;stroke-width:2}
.leader{fill:none;stroke:currentColor;opacity:.45}
.name{font-weight:600}
.dashed{stroke-dasharray:4 3}
.title .instead{text-decoration:line-through}
";

fn rules() -> Vec<Rule> {
    let roles = [("after", AFTER), ("before", BEFORE), ("follows", INK), ("rest", FAINT)];
    let roles = roles.into_iter().map(|(class, paint)| (format!(".{class}"), "color", paint));
    let lines = LINES.into_iter().enumerate();
    roles.chain(lines.map(|(i, paint)| (format!(".line{i}"), "color", paint))).collect()
}

/// The tokens that get a line: what the method and the final layer choose, what
/// follows, the pinned ones, and the strongest of the others.
fn lines<'a>(position: &'a Position, pinned: &[u32]) -> Vec<Line<'a>> {
    let Position { after, before, next, paths, .. } = position;
    let peak = |probs: &[f64]| probs.iter().copied().fold(0.0, f64::max);
    let mut others: Vec<_> = paths.iter().map(|(id, probs)| (*id, peak(probs))).collect();
    others.sort_by(|(_, a), (_, b)| b.total_cmp(a));

    let roles = [(Some(after.0), "after"), (Some(before.0), "before"), (*next, "follows")];
    let roles = roles.into_iter().filter_map(|(id, role)| Some((id?, Some(role), " named")));
    let pinned = pinned.iter().map(|&id| (id, None, " named"));
    let others = others.into_iter().map(|(id, _)| (id, None, ""));

    let mut colours = (0..LINES.len()).cycle().map(|i| format!("line{i}"));
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (id, role, weight) in roles.chain(pinned).chain(others) {
        let wanted = lines.len() < MOST || !weight.is_empty();
        let path = paths.iter().find(|(other, _)| *other == id);
        if let Some((_, probs)) = path
            && wanted
            && lines.iter().all(|line| line.id != id)
        {
            let colour = role.map(str::to_owned).or_else(|| colours.next()).unwrap_or_default();
            lines.push(Line { id, probs, class: colour + weight });
        }
    }
    lines
}

/// The end of what was read, and what follows it.
fn title(page: &LensPage, index: usize, position: &Position) -> String {
    // What is only blanks is shown as marks; otherwise they are blanks, and stay
    // outside of what is underlined or struck through.
    let word = |id: u32| {
        let text = token_text(page, id);
        let blank = if text.starts_with(char::is_whitespace) { " " } else { "" };
        match text.trim() {
            "" => (" ", token(page, id, 24)),
            word => (blank, escape(&cut(word, 24))),
        }
    };
    let (blank, follower) = word(position.follower());
    let instead = position.instead().map(|id| {
        let (_, instead) = word(id);
        format!(" <tspan class='instead'>{instead}</tspan>")
    });
    format!(
        "<text class='title' x='{MARGIN}' y='{}'>{}{blank}<tspan class='{}'>{follower}</tspan>{}</text>\n",
        MARGIN + 14,
        escape(&context(page, index, 70)),
        position.follower_class(),
        instead.unwrap_or_default(),
    )
}

/// Rules with probabilities, and the layers' numbers below.
fn axes(body: &mut String, plot: &Plot<'_>) {
    for fifth in 0..=5 {
        let prob = plot.most * f64::from(fifth) / 5.0;
        let y = plot.y(prob);
        *body += &format!(
            "<path class='hair' d='M{LEFT} {y}H{RIGHT}'/>\
             <text class='quiet end' x='{}' y='{}'>{}%</text>\n",
            LEFT - 12.0,
            y + 4.0,
            round(100.0 * prob),
        );
    }
    *body += &format!("<text class='quiet' x='{MARGIN}' y='{}'>probability</text>\n", TOP - 16.0);
    let y = plot.bottom + 20.0;
    *body += &format!("<text class='quiet end' x='{}' y='{y}'>layer</text>\n", LEFT - 12.0);
    // As many as fit, and the final one always.
    let mut free = f64::INFINITY;
    for &layer in plot.page.layers.iter().rev() {
        let x = plot.x(layer);
        if x + 26.0 <= free {
            free = x;
            *body += &format!("<text class='quiet middle' x='{x}' y='{y}'>{layer}</text>\n");
        }
    }
    if plot.has_method {
        let name = escape(&cut(&plot.page.method_name, 12));
        *body += &format!("<text class='quiet middle' x='{RIGHT}' y='{y}'>{name}</text>\n");
    }
}

/// Marks the layer that the final one was contrasted with.
fn contrast(body: &mut String, plot: &Plot<'_>, layer: usize) {
    let x = plot.x(layer);
    *body += &format!(
        "<path class='faint dashed' d='M{x} {TOP}V{}'/>\
         <text class='quiet middle' x='{}' y='{}'>contrasted with layer {layer}</text>\n",
        plot.bottom,
        // Not on the axis' name.
        x.max(LEFT + 80.0),
        TOP - 6.0,
    );
}

/// Draws a line, and what the method made of its end.
fn draw_line(body: &mut String, plot: &Plot<'_>, line: &Line<'_>) {
    let places = plot.page.layers.iter().zip(line.probs);
    let places: Vec<_> = places.map(|(&layer, &prob)| (plot.x(layer), plot.y(prob))).collect();
    *body += &format!("<g class='{}'>", line.class);
    if let Some((x, y)) = places.last() {
        let path: Vec<String> = places.iter().map(|(x, y)| format!("{x} {y}")).collect();
        *body += &format!("<path class='line' d='M{}'/>", path.join("L"));
        let (beyond, prob) = plot.end(line);
        if beyond > *x {
            *body += &format!("<path class='beyond' d='M{x} {y}L{beyond} {}'/>", plot.y(prob));
        }
    }
    for (x, y) in places {
        *body += &format!("<circle class='dot' cx='{x}' cy='{y}' r='2.2'/>");
    }
    if plot.has_method && line.id == plot.position.after.0 {
        let y = plot.y(plot.position.after.1);
        *body += &format!("<circle class='paper result' cx='{RIGHT}' cy='{y}' r='4'/>");
    }
    *body += "</g>\n";
}

/// Names the lines beside their ends.
fn names(body: &mut String, plot: &Plot<'_>, lines: &[Line<'_>]) {
    let mut ends: Vec<_> = lines.iter().map(|line| (line, plot.end(line))).collect();
    ends.sort_by(|(_, (_, a)), (_, (_, b))| b.total_cmp(a));
    let places = ends.iter().map(|(_, (_, prob))| plot.y(*prob)).collect();
    for ((line, (x, prob)), at) in ends.into_iter().zip(apart(places, TOP, plot.bottom)) {
        let leader = format!("M{} {}H{}L{} {at}", x + 7.0, plot.y(prob), RIGHT + 7.0, RIGHT + 14.0);
        *body += &format!(
            "<g class='{}'><path class='leader' d='{leader}'/>\
             <text class='quiet end' x='{}' y='{}'>{}</text>\
             <text class='name token' x='{}' y='{}'>{}</text></g>\n",
            line.class,
            RIGHT + 54.0,
            at + 4.0,
            escape(&percent(prob)),
            RIGHT + 61.0,
            at + 4.0,
            token(plot.page, line.id, CHARACTERS),
        );
    }
}

/// Moves ascending places apart, by as little as it takes in one direction, and then
/// back in from the bottom. There is room for all.
fn apart(mut places: Vec<f64>, top: f64, bottom: f64) -> Vec<f64> {
    let mut least = top;
    for place in &mut places {
        *place = place.max(least);
        least = *place + NAME;
    }
    let mut most = bottom;
    for place in places.iter_mut().rev() {
        *place = round(place.min(most));
        most = *place - NAME;
    }
    places
}

/// Draws each layer's share of the vote, in the colours of the tokens that it went to.
/// Returns where that ends.
fn bars(body: &mut String, plot: &Plot<'_>, votes: &Votes, lines: &[Line<'_>], top: f64) -> f64 {
    let top = top + 36.0;
    let bottom = top + BARS;
    let highest = votes.shares.iter().map(|shares| shares.iter().sum()).fold(0.0, f64::max);
    *body += &format!(
        "<text class='quiet' x='{MARGIN}' y='{}'>share of the vote</text>\
         <path class='hair' d='M{LEFT} {top}H{RIGHT}M{LEFT} {bottom}H{RIGHT}'/>\
         <text class='quiet end' x='{}' y='{}'>{}</text>\n",
        top - 12.0,
        LEFT - 12.0,
        top + 4.0,
        escape(&percent(highest)),
    );
    // In the order of the lines, so that what matters stands on the ground.
    let line = |id: u32| lines.iter().position(|line| line.id == id);
    let mut order: Vec<usize> = (0..votes.tokens.len()).collect();
    order.sort_by_key(|&i| line(votes.tokens[i]).unwrap_or(usize::MAX));
    let width = round((0.6 * (plot.end - LEFT) / (plot.last - plot.first).max(1) as f64).min(18.0));
    for (&layer, shares) in votes.layers.iter().zip(&votes.shares) {
        let mut y = bottom;
        let x = round(plot.x(layer) - width / 2.0);
        for &i in &order {
            let height = round(
                shares.get(i).map_or(0.0, |share| share / highest.max(f64::MIN_POSITIVE)) * BARS,
            );
            if height > 0.0 {
                y = round(y - height);
                let class = line(votes.tokens[i]).map_or("rest", |line| &lines[line].class);
                *body += &format!(
                    "<rect class='bar {class}' x='{x}' y='{y}' width='{width}' height='{height}'/>"
                );
            }
        }
        *body += "\n";
    }
    bottom
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_apart_and_inside() {
        let far = apart(vec![10.0, 50.0, 90.0], 0.0, 100.0);
        assert_eq!(far, [10.0, 50.0, 90.0]);
        let crowded = apart(vec![5.0, 90.0, 99.0, 100.0, 100.0], 0.0, 100.0);
        assert_eq!(crowded, [5.0, 52.0, 68.0, 84.0, 100.0]);
        let full = apart(vec![100.0; 6], 20.0, 100.0);
        assert_eq!(full, [20.0, 36.0, 52.0, 68.0, 84.0, 100.0]);
    }
}
