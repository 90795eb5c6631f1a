//! Several questions at the same time, and not too many.

use std::future::poll_fn;
use std::task::Poll;

use strongroom_model::ports::BoxFuture;

/// How many questions one provider is asked at the same time.
pub(crate) const AT_ONCE: usize = 8;

/// Waits for every future; at most [`AT_ONCE`] of them are under way at any time.
pub(crate) async fn several<T>(mut futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut waiting = 0;
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if waiting == AT_ONCE {
                break;
            }
            if done.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(value) => *done = Some(value),
                    Poll::Pending => waiting += 1,
                }
            }
        }
        if waiting == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn all_are_answered_in_order_and_few_are_under_way() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (now, most) = (&now, &most);
        let futures = (0..50).map(|n| {
            let future: BoxFuture<'_, usize> = Box::pin(async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..n % 5 {
                    tokio::task::yield_now().await;
                }
                now.fetch_sub(1, Ordering::SeqCst);
                n
            });
            future
        });
        assert_eq!(several(futures.collect()).await, (0..50).collect::<Vec<_>>());
        assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
        assert!(several::<()>(Vec::new()).await.is_empty());
    }
}
