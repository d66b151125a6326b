//! Reports at QoS 1 from many devices, so many unacknowledged at once at the most.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::cycle::Stage;
use crate::report::Run;
use crate::world::Stream;
use crate::world::device::{data_topic, publish_to};
use crate::world::parallel::each;
use crate::world::usage::Span;

/// Reports without PUBACK at any time.
const OUTSTANDING: usize = 1000;
/// Reports in one run.
const MOST: u64 = 200_000;
/// A run that takes longer has failed.
const LONGEST: Duration = Duration::from_secs(300);

const REPORT: &str = r#"{"msgType":"deviceReq","data":[{"serviceId":"Meter","serviceData":{"temperature":21.5,"battery":87},"eventTime":"20260101T000000Z"}]}"#;

/// A device that reports.
struct Reporter {
    stream: Stream,
    topic: String,
}

/// So many reports from each device; gives the connections back, in their order.
pub(crate) async fn measure(
    stage: &Stage,
    devices: &Rc<Vec<String>>,
    streams: Vec<Stream>,
    from_each: u64,
    run: &mut Run,
) -> anyhow::Result<Vec<Stream>> {
    let count = streams.len() as u64;
    let from_each = from_each.min(MOST / count).max(1);
    let reporters = devices.iter().zip(streams).map(|(device, stream)| Reporter {
        stream,
        topic: data_topic(device),
    });
    let groups = groups(reporters.collect());
    let numbers = 0..groups.len() as u64;
    let span = Span::of(stage.server.pid()?)?;
    let work = async move |group: &mut Vec<Reporter>, _| {
        speak(group, from_each).await?;
        Ok(std::mem::take(group))
    };
    let groups = tokio::time::timeout(LONGEST, each(groups, numbers, work)).await;
    let groups = groups.context("reports are not acknowledged")??;
    let (spent, reports) = (span.spent()?, count * from_each);
    run.add("reports", reports as f64);
    run.add("reports_per_s", spent.rate(reports));
    run.add("cpu_us_per_report", spent.cpu_us(reports));
    run.add("reports_driver_cpu_share", spent.driver_share());
    Ok(groups
        .into_iter()
        .flatten()
        .map(|reporter| reporter.stream)
        .collect())
}

/// One report of each group is under way at any time.
fn groups(reporters: Vec<Reporter>) -> Vec<Vec<Reporter>> {
    let size = reporters.len().div_ceil(OUTSTANDING);
    let mut reporters = reporters.into_iter();
    let groups = std::iter::from_fn(|| {
        let group: Vec<Reporter> = reporters.by_ref().take(size).collect();
        (!group.is_empty()).then_some(group)
    });
    groups.collect()
}

/// Every reporter in turn, and so often.
async fn speak(group: &mut [Reporter], times: u64) -> anyhow::Result<()> {
    let mut out = Vec::new();
    for time in 0..times {
        let packet_id = 1 + (time % 0xffff) as u16;
        for reporter in &mut *group {
            out.clear();
            publish_to(&mut out, &reporter.topic, packet_id, REPORT.as_bytes());
            reporter.stream.write_all(&out).await?;
            reporter.stream.flush().await?;
            let mut puback = [0; 4];
            reporter.stream.read_exact(&mut puback).await?;
            let [high, low] = packet_id.to_be_bytes();
            ensure!(puback == [0x40, 2, high, low], "no PUBACK but {puback:?}");
        }
    }
    Ok(())
}
