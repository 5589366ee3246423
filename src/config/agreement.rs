//! The reader of the subset held against the general parser: whatever the first accepts, both read as the same nodes, with
//! the same text, style and place. For tests and fuzzing; no part of the program.

use super::events::{Events, Node, Step};
use super::report::Span;
use super::subset::Subset;

/// A node or an end, comparable.
#[derive(Debug, PartialEq)]
enum Seen {
    Scalar(String, bool, Span),
    List(Span),
    Mapping(Span),
    End,
}

fn seen(step: &Step<'_>) -> Seen {
    match step {
        Step::Node(Node::Scalar(scalar)) => Seen::Scalar(scalar.text.to_string(), scalar.plain, scalar.span),
        Step::Node(Node::List(span)) => Seen::List(*span),
        Step::Node(Node::Mapping(span)) => Seen::Mapping(*span),
        Step::End => Seen::End,
    }
}

/// What the reader of the subset sees; `None` when it leaves the text to the general parser.
fn by_subset(text: &str) -> Option<Vec<Seen>> {
    let mut reader = Subset::over(text)?;
    Some(std::iter::from_fn(|| reader.next()).map(|step| seen(&step)).collect())
}

/// What the general parser sees.
fn by_parser(text: &str) -> Result<Vec<Seen>, String> {
    let fault = |fault| format!("{fault:?}");
    let mut events = Events::general(text);
    let root = events.root().map_err(fault)?.ok_or("no document")?;
    let mut open = usize::from(!matches!(root, Node::Scalar(_)));
    let mut all = vec![seen(&Step::Node(root))];
    while open > 0 {
        let step = events.next().map_err(fault)?;
        match &step {
            Step::Node(Node::Scalar(_)) => {}
            Step::Node(_) => open += 1,
            Step::End => open -= 1,
        }
        all.push(seen(&step));
    }
    events.finish().map_err(fault)?;
    Ok(all)
}

/// Whether the subset's reader takes the text.
///
/// # Panics
/// When it takes the text, and the general parser does not or sees anything else.
pub fn agree(text: &str) -> bool {
    let Some(found) = by_subset(text) else { return false };
    match by_parser(text) {
        Ok(expected) => assert_eq!(found, expected, "{text:?}"),
        Err(fault) => panic!("accepted, but the parser says {fault}: {text:?}"),
    }
    true
}
