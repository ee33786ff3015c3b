//! Waiting for a condition with a deadline, instead of sleeping for luck.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// Calls `look` until it gives `Ok`, and returns what it gave.
///
/// # Panics
/// At the deadline, saying what was waited for and what `look` last saw (its `Err`).
pub async fn wait_until<T, F>(deadline: Duration, what: &str, mut look: F) -> T
where
    F: AsyncFnMut() -> Result<T, String>,
{
    let began = Instant::now();
    let mut last_seen = String::from("nothing: not one look ended");
    loop {
        let left = deadline.saturating_sub(began.elapsed());
        match tokio::time::timeout(left, look()).await {
            Ok(Ok(found)) => return found,
            Ok(Err(seen)) => last_seen = seen,
            Err(_) => {}
        }
        assert!(began.elapsed() < deadline, "waited {deadline:?} for {what}; last seen: {last_seen}");
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_success_is_returned() {
        let mut looks = 0;
        let found = wait_until(Duration::from_secs(5), "three looks", async || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err(format!("{looks} looks")) }
        })
        .await;
        assert_eq!(found, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "for a wonder; last seen: nothing new")]
    async fn the_deadline_says_what_was_last_seen() {
        wait_until(Duration::from_millis(50), "a wonder", async || Err::<(), _>(String::from("nothing new")))
            .await;
    }
}
