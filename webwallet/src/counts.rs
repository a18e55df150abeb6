//! What the services of this process count, for `/metrics`; and what each number
//! means. The gateway says that of its own; the other services cannot, since none of
//! them knows whether anybody asks.

use std::time::Duration;

use anyhow::Context as _;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// How often metrics are tidied; histograms grow in between.
const UPKEEP: Duration = Duration::from_secs(5);

/// Where the services of this process count, with somebody who tidies up.
pub fn record() -> anyhow::Result<PrometheusHandle> {
    let seconds = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
    let counts = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0];
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)
        .and_then(|builder| builder.set_buckets(&counts))
        .and_then(PrometheusBuilder::install_recorder)
        .context("cannot count")?;
    describe();
    let tidied = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            tidied.run_upkeep();
        }
    });
    Ok(handle)
}

fn describe() {
    for (name, meaning) in [
        ("webwallet_graphstore_cleared_total", "Requests cleared."),
        ("webwallet_graphstore_rehearsed_total", "Requests that would have cleared, rehearsed."),
        ("webwallet_graphstore_batches_failed_total", "Batches that were not committed."),
        ("webwallet_graphstore_commits_lost_total", "Commits whose answer was lost."),
        ("webwallet_hashtable_gets_total", "Documents asked for."),
        ("webwallet_hashtable_documents_total", "Documents written."),
        ("webwallet_hashtable_commits_total", "Writes, each of one document or more."),
        ("webwallet_hashtable_damaged_total", "Documents found damaged when they were read."),
        ("webwallet_hashtable_mended_total", "Damaged documents that were put again."),
        ("webwallet_hashtable_doubts_total", "Times that Redis may have lost documents."),
        ("webwallet_hashtable_refilled_total", "Documents that Redis had lost and was given back."),
        ("webwallet_blockstack_sealed_total", "Records sealed in blocks."),
    ] {
        describe_counter!(name, meaning);
    }
    for (name, meaning) in [
        ("webwallet_graphstore_number", "Number of the newest record that has cleared."),
        ("webwallet_blockstack_number", "Number of the newest record in a published block."),
    ] {
        describe_gauge!(name, meaning);
    }
    describe_gauge!(
        "webwallet_blockstack_block_timestamp_seconds",
        Unit::Seconds,
        "Time of the last published block, since 1970."
    );
    describe_histogram!("webwallet_graphstore_batch_requests", "Requests decided together.");
    for (name, meaning) in [
        ("webwallet_graphstore_batch_seconds", "To decide a batch and commit it."),
        ("webwallet_hashtable_commit_seconds", "To write documents and sync them."),
        ("webwallet_blockstack_seal_seconds", "To seal a block and publish it."),
    ] {
        describe_histogram!(name, Unit::Seconds, meaning);
    }
}
