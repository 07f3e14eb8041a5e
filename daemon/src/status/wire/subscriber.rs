//! Subscribers and what they report, as `evercert.v1` carries them, there and back.

use evercert_api::v1;
use v1::report::Outcome as Said;

use super::super::{Moment, Pod, Subscriber};
use super::{bytes, digest, some};
use crate::inventory::pods::Doubt;
use crate::publication::{Delivery, Outcome, Refused, RefusedCode, Report, SubscriberState};

impl From<Subscriber> for v1::Subscriber {
    fn from(subscriber: Subscriber) -> Self {
        Self {
            id: subscriber.id,
            pid: subscriber.pid,
            uid: subscriber.uid,
            command: subscriber.command,
            sdk_version: subscriber.sdk_version,
            connected: subscriber.connected.into(),
            deliver: v1::Deliver::from(subscriber.deliver).into(),
            report: subscriber.report.map(Into::into),
            state: v1::SubscriberState::from(subscriber.state).into(),
            behind_since: subscriber.behind_since.into(),
            pod: subscriber.pod.map(Into::into),
            reason: subscriber.reason.unwrap_or_default(),
            lost_since: subscriber.lost_since.into(),
            unit: subscriber.unit.unwrap_or_default(),
            unattested: subscriber.unattested,
        }
    }
}

impl From<v1::Subscriber> for Subscriber {
    fn from(subscriber: v1::Subscriber) -> Self {
        Self {
            deliver: subscriber.deliver().into(),
            state: subscriber.state().into(),
            id: subscriber.id,
            pid: subscriber.pid,
            uid: subscriber.uid,
            command: subscriber.command,
            sdk_version: subscriber.sdk_version,
            connected: Moment::of(subscriber.connected),
            behind_since: Moment::of(subscriber.behind_since),
            report: subscriber.report.map(Report::from),
            reason: some(subscriber.reason),
            pod: subscriber.pod.map(Pod::from),
            lost_since: Moment::of(subscriber.lost_since),
            unit: some(subscriber.unit),
            unattested: subscriber.unattested,
        }
    }
}

same_names!(Delivery, v1::Deliver, [Full, Digest], Unspecified => Full);
same_names!(
    RefusedCode, v1::RefusedCode, [Malformed, Credential, Bundle, Incomplete],
    Unspecified => Unknown, Unknown => Unspecified
);
same_names!(SubscriberState, v1::SubscriberState, [Pending, Behind, Refused, Current, Settled], Unspecified => Pending);

impl From<Report> for v1::Report {
    fn from(report: Report) -> Self {
        let stage = |stage: v1::Stage| Said::Stage(stage.into());
        Self {
            epoch: report.epoch,
            generation: report.generation,
            digest: bytes(report.digest),
            outcome: report.outcome.map(|outcome| match outcome {
                Outcome::Current => stage(v1::Stage::Current),
                Outcome::Settled => stage(v1::Stage::Settled),
                Outcome::Refused(Refused { code, detail }) => {
                    Said::Refused(v1::Refused { code: v1::RefusedCode::from(code).into(), detail })
                }
            }),
            connections_on_older: report.connections_on_older,
            not_after: report.not_after.map(Into::into),
        }
    }
}

impl From<v1::Report> for Report {
    fn from(report: v1::Report) -> Self {
        Self {
            epoch: report.epoch,
            generation: report.generation,
            digest: digest(&report.digest),
            outcome: report.outcome.and_then(|outcome| match outcome {
                Said::Refused(refused) => {
                    let code = refused.code().into();
                    Some(Outcome::Refused(Refused { code, detail: refused.detail }))
                }
                Said::Stage(stage) => match v1::Stage::try_from(stage) {
                    Ok(v1::Stage::Current) => Some(Outcome::Current),
                    Ok(v1::Stage::Settled) => Some(Outcome::Settled),
                    Ok(v1::Stage::Unspecified) | Err(_) => None,
                },
            }),
            connections_on_older: report.connections_on_older,
            not_after: Moment::of(report.not_after).0,
        }
    }
}

impl From<Pod> for v1::Pod {
    fn from(pod: Pod) -> Self {
        let name_doubt = match pod.name_doubt {
            None => v1::NameDoubt::Unspecified,
            Some(Doubt::LogDirectories) => v1::NameDoubt::LogDirectories,
            Some(Doubt::Namespace) => v1::NameDoubt::Namespace,
        };
        Self {
            uid: pod.uid,
            namespace: pod.namespace.unwrap_or_default(),
            name: pod.name.unwrap_or_default(),
            name_doubt: name_doubt.into(),
        }
    }
}

impl From<v1::Pod> for Pod {
    fn from(pod: v1::Pod) -> Self {
        let name_doubt = match pod.name_doubt() {
            v1::NameDoubt::Unspecified => None,
            v1::NameDoubt::LogDirectories => Some(Doubt::LogDirectories),
            v1::NameDoubt::Namespace => Some(Doubt::Namespace),
        };
        Self { namespace: some(pod.namespace), name: some(pod.name), uid: pod.uid, name_doubt }
    }
}
