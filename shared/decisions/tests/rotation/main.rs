//! Rotation in a simulation: presented certificates, trust, and proxies that update late.

#[cfg(test)]
mod actuate;
#[cfg(test)]
mod notification;
#[cfg(test)]
mod observe;
#[cfg(test)]
mod observed_mesh;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod renewal;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod standstill;
#[cfg(test)]
mod verdicts;
#[cfg(test)]
mod year;
