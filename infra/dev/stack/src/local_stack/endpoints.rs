//! The addresses of the stack, and the variables that configure clients with them.

use super::bucket::policy_location;
use super::outputs::Outputs;

/// The account of the stack, which is not a real one.
pub(crate) const ACCOUNT: &str = "123456789012";
/// The region of the stack.
pub(crate) const REGION: &str = "us-east-1";

/// The services of `MiniStack`, as in the names of the SDKs' variables.
const SERVICES: [&str; 13] = [
    "CLOUDFORMATION",
    "CLOUDWATCH",
    "CLOUDWATCH_LOGS",
    "DYNAMODB",
    "EVENTBRIDGE",
    "IAM",
    "LAMBDA",
    "S3",
    "SCHEDULER",
    "SNS",
    "SQS",
    "SSM",
    "STS",
];

/// The services of moto, as in the names of the SDKs' variables.
const MOTO: [&str; 4] = ["ACM", "ACM_PCA", "CONFIG_SERVICE", "SECRETS_MANAGER"];

/// The stack's addresses.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// The control plane's App Mesh API.
    pub app_mesh: String,
    /// moto, for certificates, secrets, and AWS Config.
    pub certificates: String,
    /// `MiniStack`, for everything else.
    pub aws: String,
}

/// The variables that configure SDKs to use moto.
pub(super) fn certificate_variables(address: &str) -> impl Iterator<Item = (String, String)> {
    MOTO.into_iter().map(move |service| (format!("AWS_ENDPOINT_URL_{service}"), address.to_owned()))
}

/// The variables with the credentials and the region of SDKs, so that they call no metadata service.
pub(super) fn identity() -> impl Iterator<Item = (String, String)> {
    let fixed = [
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()))
}

impl Endpoints {
    /// The variables that configure an SDK to use the stack, and nothing else.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, String)> {
        let fixed = [
            // Services that no variable below names use this address, not the real service.
            ("AWS_ENDPOINT_URL", self.aws.as_str()),
            ("AWS_ENDPOINT_URL_APP_MESH", self.app_mesh.as_str()),
        ];
        let fixed = fixed.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let services = SERVICES.map(|service| (format!("AWS_ENDPOINT_URL_{service}"), self.aws.clone()));
        identity().chain(fixed).chain(services).chain(certificate_variables(&self.certificates)).collect()
    }

    /// The endpoints as a shell script, with the variables of the functions.
    #[must_use]
    pub fn script(&self, outputs: &Outputs) -> String {
        let own = [
            ("MESHWARDEN_TABLE", "StateTable"),
            ("MESHWARDEN_BUS", "EventBus"),
            ("MESHWARDEN_TOPIC", "NotificationTopic"),
        ];
        let own = own
            .into_iter()
            .filter_map(|(name, output)| Some((name.to_owned(), outputs.named(output).ok()?.to_owned())));
        let policy = ("MESHWARDEN_POLICY".to_owned(), policy_location());
        let exports = self.variables().into_iter().chain(own).chain([policy]);
        let mut script = "# Points SDKs, the AWS CLI and `cargo lambda` at the local stack. Source it.\n\
                          unset AWS_PROFILE AWS_SESSION_TOKEN\n"
            .to_owned();
        script.extend(exports.map(|(name, value)| format!("export {name}='{value}'\n")));
        script
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_the_real_services() {
        let address = |port: u16| format!("http://127.0.0.1:{port}");
        let endpoints = Endpoints { app_mesh: address(1), certificates: address(3), aws: address(2) };
        let variables = endpoints.variables();
        let value = |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!(value("AWS_ENDPOINT_URL_APP_MESH"), Some("http://127.0.0.1:1"));
        assert_eq!(value("AWS_ENDPOINT_URL_DYNAMODB"), Some("http://127.0.0.1:2"));
        assert_eq!(value("AWS_ENDPOINT_URL"), Some("http://127.0.0.1:2"));
        assert_eq!(value("AWS_ENDPOINT_URL_ACM_PCA"), Some("http://127.0.0.1:3"));
        assert_eq!(value("AWS_ENDPOINT_URL_CONFIG_SERVICE"), Some("http://127.0.0.1:3"));
        let script = endpoints.script(&Outputs::default());
        assert!(script.contains("export AWS_ENDPOINT_URL_SNS='http://127.0.0.1:2'\n"), "{script}");
        assert!(script.contains("unset AWS_PROFILE"), "{script}");
    }
}
