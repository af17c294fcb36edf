//! What routers quote of the SYNs differs from what was sent: a box on the way changes them.

use super::{Evidence, Scene};
use crate::path::{Change, Field, Place};

/// `changed-on-the-way`
///
/// - **Says.** Between two hops a box changes what we send: the MSS of SYNs (clamping), DSCP (bleaching), sequence numbers
///   (a stateful firewall), the source (address translation), the hop limit or other fields; or the TCP checksum alone, so
///   that something was changed which is not quoted, or changed back in the quote.
/// - **Needs.** A router that quotes the field changed, and no later one that quotes it as it was sent.
/// - **Effect.** None: whoever changes packets need not drop any.
/// - **Misleads when.** Routers garble what they quote, all from one hop on. A box that translates quotes back (as Linux
///   does) leaves no trace, and a quote of 8 bytes shows neither MSS nor options.
/// - **Rests on.** RFC 792, RFC 1812 section 4.3.2.3, RFC 4443 section 3.3: the quote is the packet as it arrived.
pub(super) fn changed_on_the_way(scene: &Scene<'_>) -> Option<Evidence> {
    let changes: Vec<&Change> = scene.path.hops.iter().flat_map(|h| &h.changes).collect();
    if changes.is_empty() {
        return None;
    }
    let data = changes.iter().all(|c| scene.data.iter().any(|p| c.records.contains(&p.record)));
    let said: Vec<String> = changes.iter().map(|change| describe(scene, change)).collect();
    Some(Evidence {
        rule: "changed-on-the-way",
        says: format!(
            "{} on their way: {}",
            if data { "segments with data are changed" } else { "SYNs are changed" },
            said.join("; ")
        ),
        packets: changes.iter().flat_map(|c| c.records.iter().copied()).collect(),
        claims: Vec::new(),
    })
}

fn describe(scene: &Scene<'_>, change: &Change) -> String {
    let (after, by) = (scene.between(Place(change.after), Place(change.after)), Place(change.by));
    let what = match change.field {
        Field::SequenceNumber | Field::Identification | Field::Timestamp => {
            format!("another {}", change.field)
        }
        Field::HopLimit => "a greater hop limit".to_owned(),
        Field::Checksum => {
            "a TCP checksum that does not fit, so that something else than what is quoted was changed"
                .to_owned()
        }
        field => format!("{field} {} instead of {}", change.quoted, change.sent),
    };
    format!("{what} between {after} and {}", scene.between(by, by))
}

#[cfg(test)]
mod tests;
