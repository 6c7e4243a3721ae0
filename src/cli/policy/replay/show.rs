//! One change, for people and as JSON. Text from outside is escaped for people.

use serde_json::{Value, json};

use super::compare::{Change, Decided};
use crate::cli::ledger::{table, time};
use crate::cli::policy::source::Sources;

/// The request on one line, what changes on the next, and why it is refused now on a third.
pub(super) fn text(change: &Change<'_>, sources: &Sources) -> String {
    let Change { index, asked, old, new, .. } = change;
    let (caller, key) = (table::word(&asked.caller), table::word(&asked.key));
    let request = format!("{index:>8}  {}  {caller}  {key}  {}", time(change.time), table::tbs(asked));
    let source = sources.words(&sources.deciding(&change.key, new));
    let verdict = format!("{} -> {} ({source}){}", words(*old), words(Decided::of(new)), condition(change));
    let why = match &new.verdict {
        Ok(_) => String::new(),
        Err(refusal) => format!("          {}\n", table::text(&refusal.message)),
    };
    format!("{request}\n          {verdict}\n{why}")
}

fn words(decided: Decided<'_>) -> String {
    let rule = table::text(decided.rule);
    match decided.reason {
        None => format!("permitted by {rule}"),
        Some(reason) => format!("refused by {rule}: {}", table::text(reason)),
    }
}

/// What a permit depends on.
fn condition(change: &Change<'_>) -> String {
    match (&change.new.verdict, change.new.not_checked()) {
        (Ok(_), open) if !open.is_empty() => {
            format!(", if what was not checked offline holds: {}", open.join(" and "))
        }
        _ => String::new(),
    }
}

/// One object; docs/policy.md lists its fields.
pub(super) fn json(change: &Change<'_>, sources: &Sources) -> Value {
    let Change { asked, old, new, .. } = change;
    let mut now = verdict(Decided::of(new));
    if let (Value::Object(now), Value::Object(source)) =
        (&mut now, sources.json(&sources.deciding(&change.key, new)))
    {
        now.extend(source);
        if let Err(refusal) = &new.verdict {
            now.insert("message".to_owned(), refusal.message.clone().into());
        }
    }
    json!({
        "entry": change.index,
        "time": time(change.time),
        "caller": String::from_utf8_lossy(&asked.caller),
        "key": String::from_utf8_lossy(&asked.key),
        "request": table::tbs(asked),
        "change": change.group.name(),
        "old": verdict(*old),
        "new": now,
        "not_checked": new.not_checked(),
    })
}

fn verdict(Decided { rule, reason }: Decided<'_>) -> Value {
    match reason {
        None => json!({ "verdict": "permit", "rule": rule }),
        Some(reason) => json!({ "verdict": "refuse", "rule": rule, "reason": reason }),
    }
}
