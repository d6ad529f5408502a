//! Rotation in a world of its own: who presents what, who trusts what, and proxies that take their time.

#[cfg(test)]
mod actuate;
#[cfg(test)]
mod observe;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod renewal;
#[cfg(test)]
mod standstill;
#[cfg(test)]
mod telling;
#[cfg(test)]
mod verdicts;
#[cfg(test)]
mod world;
#[cfg(test)]
mod year;
