//! Rotation in a simulated world: presented certificates, trust, and proxies that update late.

#[cfg(test)]
mod actuate;
#[cfg(test)]
mod notification;
#[cfg(test)]
mod observe;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod renewal;
#[cfg(test)]
mod standstill;
#[cfg(test)]
mod verdicts;
#[cfg(test)]
mod world;
#[cfg(test)]
mod year;
