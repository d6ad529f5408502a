//! Reports and the policy in S3.

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use ports::{PolicySource, PortError, PortErrorKind, ReportStore};

use crate::call::{call, until_deadline};
use crate::lazy::Lazy;

/// A bucket that keeps reports.
#[derive(Clone, Debug)]
pub struct ReportsBucket {
    client: Lazy<Client>,
    bucket: String,
    prefix: String,
}

impl ReportsBucket {
    pub(crate) fn new(client: Lazy<Client>, bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into(), prefix: prefix.into() }
    }
}

#[async_trait]
impl ReportStore for ReportsBucket {
    async fn put(&self, name: &str, body: &[u8]) -> Result<String, PortError> {
        let (bucket, key) = (&self.bucket, format!("{}{name}", self.prefix));
        let place = format!("s3://{bucket}/{key}");
        let request = self.client.client().put_object().bucket(bucket).key(&key).body(ByteStream::from(body.to_vec()));
        call(|| format!("store report {place}"), request.send()).await?;
        Ok(place)
    }

    async fn get(&self, name: &str) -> Result<Vec<u8>, PortError> {
        let (bucket, key) = (&self.bucket, format!("{}{name}", self.prefix));
        let what = || format!("read report s3://{bucket}/{key}");
        read(&self.client, bucket, &key, what).await
    }
}

async fn read(client: &Lazy<Client>, bucket: &str, key: &str, what: impl Fn() -> String) -> Result<Vec<u8>, PortError> {
    let answer = call(&what, client.client().get_object().bucket(bucket).key(key).send()).await?;
    let cut = |why: String| PortError::new(what(), PortErrorKind::Unavailable, why);
    let body = until_deadline(&what, answer.body.collect()).await?.map_err(|error| cut(error.to_string()))?;
    Ok(body.to_vec())
}

/// An object that holds the policy.
#[derive(Clone, Debug)]
pub struct PolicyObject {
    client: Lazy<Client>,
    bucket: String,
    key: String,
}

impl PolicyObject {
    pub(crate) fn new(client: Lazy<Client>, bucket: impl Into<String>, key: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into(), key: key.into() }
    }
}

#[async_trait]
impl PolicySource for PolicyObject {
    async fn read(&self) -> Result<String, PortError> {
        let what = || format!("read the policy s3://{}/{}", self.bucket, self.key);
        let body = read(&self.client, &self.bucket, &self.key, what).await?;
        String::from_utf8(body).map_err(|_| PortError::new(what(), PortErrorKind::Other, "it is not UTF-8 text"))
    }
}
