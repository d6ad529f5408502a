//! Reports and the policy in S3.

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use ports::{PolicySource, PortError, PortErrorKind, ReportStore};

use crate::answer::ResponseLimit;
use crate::call::{call, until_deadline, with_sources};
use crate::connection::OPERATION_TIMEOUT;
use crate::lazy::Lazy;

/// A bucket that stores reports.
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
    // The SDK's time-outs only cover the headers of a streamed response.
    let body = tokio::time::timeout(OPERATION_TIMEOUT, answer.body.collect());
    let failed = |kind, why: &str| PortError::new(what(), kind, format!("{why} [S3 GetObject]"));
    match until_deadline(&what, body).await? {
        Ok(Ok(body)) => Ok(body.to_vec()),
        Ok(Err(error)) => Err(match ResponseLimit::find_in(&error) {
            Some(why) => failed(PortErrorKind::Other, &why.to_string()),
            None => failed(PortErrorKind::Unavailable, &with_sources(&error)),
        }),
        Err(_) => Err(failed(PortErrorKind::TimedOut, "the object did not arrive in time")),
    }
}

/// An object that contains the policy.
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
