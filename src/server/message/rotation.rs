//! Lines of keys, and bundles, as messages.

use bytes::Bytes;
use countersign_proto::v1;

use crate::rotation::{Bundle, Line, LineMember, State, certificate};

/// A line, for operators.
pub(in crate::server) fn line(line: &Line) -> v1::Line {
    v1::Line { members: line.members.iter().map(member).collect(), next: line.next.clone() }
}

fn member(member: &LineMember) -> v1::LineMember {
    v1::LineMember {
        name: member.name.clone(),
        ssh_fingerprint: member.fingerprint.clone(),
        state: state(member.state).into(),
        at_ms: at_ms(member.state),
        in_service: member.key.is_some(),
    }
}

/// What is to be trusted of a line.
pub(in crate::server) fn bundle(line: &Line) -> v1::Bundle {
    let bundle = Bundle::of(line);
    let members = bundle.iter().map(|(key, at)| v1::BundleMember {
        key: Some(super::key(key)),
        state: state(*at).into(),
        at_ms: at_ms(*at),
        certificate: certificate(key).map(Bytes::copy_from_slice).unwrap_or_default(),
    });
    v1::Bundle {
        active: line.active().map(|member| member.name.clone()).unwrap_or_default(),
        members: members.collect(),
        openssh: bundle.openssh(),
        pem: bundle.public_keys(),
        certificates: bundle.certificates(),
    }
}

fn at_ms(state: State) -> u64 {
    state.at().map_or(0, |at| at.0.saturating_mul(1000))
}

fn state(state: State) -> v1::KeyState {
    match state {
        State::Named => v1::KeyState::Named,
        State::Staged => v1::KeyState::Staged,
        State::Published => v1::KeyState::Published,
        State::Scheduled(_) => v1::KeyState::Scheduled,
        State::Active => v1::KeyState::Active,
        State::Superseded(_) => v1::KeyState::Superseded,
        State::Retired => v1::KeyState::Retired,
        State::Replaced => v1::KeyState::Replaced,
    }
}
