//! Commands of `meshwarden` with an output that is shown while a scenario goes on, and waits for weights.

use std::time::{Duration, Instant};

use super::context::{DemoContext, ensure};
use super::route::{Route, RouteName};
use super::view::LiveView;
use stack::console::say;
use stack::failure::Result;
use stack::interrupt;

/// The interval in which the demo runs a function as its schedule does every minute.
const SCHEDULE: Duration = Duration::from_secs(3);

impl DemoContext {
    /// Runs a command of `meshwarden`, and prints its output.
    pub(super) fn operator(&self, arguments: &[&str]) -> Result<Vec<String>> {
        let lines = self.stack.meshwarden(&self.workspace, arguments)?;
        for line in &lines {
            say(format_args!("    {line}"));
        }
        Ok(lines)
    }

    /// Starts a command of `meshwarden` and shows its output from now on.
    pub(super) fn start_view(&mut self, arguments: &[&str]) -> Result<()> {
        say(format_args!("\n  $ meshwarden {}\n", arguments.join(" ")));
        self.view = Some(LiveView::new(self.stack.follow_meshwarden(&self.workspace, arguments)?));
        Ok(())
    }

    /// Waits until the command of the view ends, and returns whether it succeeded.
    pub(super) fn until_view_ends(&mut self, limit: Duration) -> Result<bool> {
        let succeeded = interrupt::poll(limit, || {
            self.tick()?;
            self.view.as_mut().map_or(Ok(Some(false)), LiveView::succeeded)
        })?;
        if let Some(view) = self.view.take() {
            view.print();
        }
        ensure(succeeded.is_some(), "the command ends with the rollout", || "it still runs".to_owned())?;
        Ok(succeeded.unwrap_or_default())
    }

    /// Ends the command of the view.
    pub(super) fn end_view(&mut self) {
        if let Some(view) = self.view.take() {
            view.print();
        }
    }

    /// Runs a function as its schedule does.
    pub(super) fn run_function(&self, function: &str) -> Result<()> {
        self.stack.invoke(function, &self.tick_event()).map(drop)
    }

    /// Waits until a route has these weights. With a function, the demo runs it as its schedule does.
    pub(super) fn until_weights(
        &mut self,
        function: Option<&str>,
        name: RouteName<'_>,
        weights: &[u64],
        limit: Duration,
    ) -> Result<Route> {
        let mut next = Instant::now();
        let mut last = Vec::new();
        let found = interrupt::poll(limit, || {
            self.tick()?;
            if let Some(function) = function.filter(|_| Instant::now() >= next) {
                self.run_function(function)?;
                next = Instant::now() + SCHEDULE;
            }
            let route = self.route(name)?;
            last = route.weights().into_iter().map(|(_, weight)| weight).collect();
            Ok((last == weights).then_some(route))
        })?;
        found.ok_or_else(|| stack::failure::Failure::Unexpected {
            expected: format!("{} has the weights {weights:?}", name.resource()),
            seen: format!("it has {last:?}"),
        })
    }
}
