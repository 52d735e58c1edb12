//! `kchaos member`: a member of a classic group by hand: joins, shares out partitions when it leads, goes on from what is committed,
//! and commits a little further now and then.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use kcheck::history::{Member, Op, Outcome};
use tokio::time::sleep;

use crate::flags::Flags;
use crate::journal::{Journal, Told, now_us};
use crate::raw::{Answer, Failure, Raw};
use crate::requests::{self, Joined};

const UNKNOWN_MEMBER_ID: i16 = 25;
const MEMBER_ID_REQUIRED: i16 = 79;
/// A commit that was refused with one of these is not written: the generation is another, or the group is led elsewhere.
const NOT_COMMITTED: [i16; 6] = [14, 16, 22, UNKNOWN_MEMBER_ID, 27, 82];
const PAUSE: Duration = Duration::from_millis(200);

struct Membership {
    raw: Raw,
    journal: Journal,
    group: String,
    topic: String,
    partitions: i32,
    id: String,
}

/// `--bootstrap --history --name --group --topic --partitions`
pub(crate) async fn run(flags: &Flags) -> Result<ExitCode> {
    let name = flags.text("name")?;
    let mut membership = Membership {
        raw: Raw::of(flags, name)?,
        journal: Journal::open(flags.text("history")?, name)?,
        group: flags.text("group")?.to_owned(),
        topic: flags.text("topic")?.to_owned(),
        partitions: flags.get("partitions")?,
        id: String::new(),
    };
    loop {
        if let Err(failure) = membership.generation().await? {
            if let Failure::Code(UNKNOWN_MEMBER_ID) = failure {
                membership.id.clear();
            }
            membership.raw.forget();
            sleep(PAUSE).await;
        }
    }
}

impl Membership {
    /// From joining to whatever ends it.
    async fn generation(&mut self) -> Result<Answer<()>> {
        let invoke = now_us();
        let joined = match self.join().await {
            Ok(joined) => joined,
            Err(failure) => return Ok(Err(failure)),
        };
        let shares = self.share(&joined);
        let owned = match requests::sync(&mut self.raw, &self.group, &joined, shares).await {
            Ok(share) => partitions_of(&share),
            Err(failure) => return Ok(Err(failure)),
        };
        let member = Member {
            group: self.group.clone(),
            id: joined.member_id.clone(),
            epoch: joined.generation,
            own: false,
        };
        let partitions = owned
            .iter()
            .map(|partition| self.name(*partition))
            .collect();
        let member_of = member.clone();
        self.journal.whole(
            invoke,
            Op::Join {
                member: member_of,
                partitions,
            },
        )?;
        let mut offsets = match self.committed(&owned).await? {
            Ok(offsets) => offsets,
            Err(failure) => return Ok(Err(failure)),
        };
        loop {
            sleep(PAUSE).await;
            if let Err(failure) = requests::heartbeat(&mut self.raw, &self.group, &joined).await {
                return Ok(Err(failure));
            }
            for offset in offsets.values_mut() {
                *offset += 1;
            }
            if let Err(failure) = self.commit(&member, &joined, &offsets).await? {
                return Ok(Err(failure));
            }
        }
    }

    async fn join(&mut self) -> Answer<Joined> {
        match requests::join(&mut self.raw, &self.group, &self.id).await {
            Ok((MEMBER_ID_REQUIRED, joined)) => {
                self.id = joined.member_id;
                Err(Failure::Code(MEMBER_ID_REQUIRED))
            }
            Ok((0, joined)) => {
                self.id.clone_from(&joined.member_id);
                Ok(joined)
            }
            Ok((code, _)) => Err(Failure::Code(code)),
            Err(failure) => Err(failure),
        }
    }

    /// Of the leader: each member's partitions, as numbers with commas. Of others nothing.
    fn share(&self, joined: &Joined) -> Vec<(String, String)> {
        let count = joined.members.len();
        let of = |(index, member): (usize, &String)| {
            let own = (0..self.partitions).filter(|partition| *partition as usize % count == index);
            let own: Vec<String> = own.map(|partition| partition.to_string()).collect();
            (member.clone(), own.join(","))
        };
        joined.members.iter().enumerate().map(of).collect()
    }

    fn name(&self, partition: i32) -> String {
        format!("{}-{partition}", self.topic)
    }

    async fn committed(&mut self, owned: &[i32]) -> Result<Answer<BTreeMap<i32, i64>>> {
        let invoke = now_us();
        let told =
            requests::committed(&mut self.raw, &self.group, &self.topic, self.partitions).await;
        let mut told = match told {
            Ok(told) => told,
            Err(failure) => return Ok(Err(failure)),
        };
        told.retain(|partition, _| owned.contains(partition));
        for partition in owned {
            told.entry(*partition).or_insert(0);
        }
        let offsets = told
            .iter()
            .map(|(partition, offset)| (self.name(*partition), *offset));
        let op = Op::Committed {
            group: self.group.clone(),
            offsets: offsets.collect(),
        };
        self.journal.whole(invoke, op)?;
        Ok(Ok(told))
    }

    async fn commit(
        &mut self,
        member: &Member,
        joined: &Joined,
        offsets: &BTreeMap<i32, i64>,
    ) -> Result<Answer<()>> {
        let named = offsets
            .iter()
            .map(|(partition, offset)| (self.name(*partition), *offset));
        let op = Op::Commit {
            member: member.clone(),
            offsets: named.collect(),
        };
        let begun = self.journal.begin(Outcome::Info, op)?;
        let done = requests::commit(&mut self.raw, &self.group, joined, &self.topic, offsets).await;
        let outcome = match &done {
            Ok(()) => Outcome::Ok,
            Err(Failure::Code(code)) if NOT_COMMITTED.contains(code) => Outcome::Fail,
            Err(Failure::NotSent(_)) => Outcome::Fail,
            Err(_) => Outcome::Info,
        };
        self.journal.end(begun, outcome, Told::new())?;
        Ok(done)
    }
}

fn partitions_of(share: &str) -> Vec<i32> {
    share
        .split(',')
        .filter_map(|number| number.parse().ok())
        .collect()
}
