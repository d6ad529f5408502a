//! Changes of certificates and trust in the specs of virtual nodes and gateways.

use crate::certificates::{AuthorityArn, CertificateArn, SpecLocation};
use crate::change::ChangeError;
use crate::graph::Mesh;
use crate::name::ResourcePath;
use crate::spec::bounded::{List, Text};
use crate::spec::{
    AcmTrust, Backend, BackendDefaults, ClientPolicy, ClientTls, ClientTrust, ClientValidation, Extra,
    ListenerCertificate, ListenerTls, Port, Spec, SubjectAlternativeNameMatchers, SubjectAlternativeNames,
};

/// Sets the ACM certificate of a listener. A listener with a certificate from another source is left unchanged.
pub(super) fn set_certificate(
    of: &ResourcePath,
    spec: &mut Spec,
    port: Port,
    certificate: &CertificateArn,
) -> Result<(), ChangeError> {
    let missing = || ChangeError::NoAcmListener { resource: of.clone(), port };
    let tls = listener_tls(spec, port).ok_or_else(missing)?;
    match &mut tls.certificate {
        ListenerCertificate::Acm(acm) => certificate.as_str().clone_into(&mut acm.certificate_arn),
        ListenerCertificate::File(_) | ListenerCertificate::Sds(_) | ListenerCertificate::Unrecognised(_) => {
            return Err(missing());
        }
    }
    Ok(())
}

fn listener_tls(spec: &mut Spec, port: Port) -> Option<&mut ListenerTls> {
    match spec {
        Spec::VirtualNode(node) => {
            let listeners = node.listeners.iter_mut().flatten();
            listeners.filter(|listener| listener.port_mapping.port == port).find_map(|listener| listener.tls.as_mut())
        }
        Spec::VirtualGateway(gateway) => {
            let listeners = gateway.listeners.iter_mut();
            listeners.filter(|listener| listener.port_mapping.port == port).find_map(|listener| listener.tls.as_mut())
        }
        Spec::Mesh(_) | Spec::VirtualRouter(_) | Spec::Route(_) | Spec::VirtualService(_) | Spec::GatewayRoute(_) => {
            None
        }
    }
}

/// Sets the private CAs that a client trusts. Without a policy, one is created that behaves like no policy: it does not
/// enforce TLS, and accepts the given names.
pub(super) fn set_trust(
    of: &ResourcePath,
    spec: &mut Spec,
    place: &SpecLocation,
    authorities: &[AuthorityArn],
    names: &[String],
) -> Result<(), ChangeError> {
    let arns = authorities.iter().map(ToString::to_string).collect();
    let limit = |_| ChangeError::AuthorityLimit { resource: of.clone(), given: authorities.len() };
    let trust = AcmTrust { certificate_authority_arns: List::new(arns).map_err(limit)?, extra: Extra::new() };
    let missing = || ChangeError::NoPlace { resource: of.clone(), place: place.clone() };
    // All members are read before any is changed, so that an error leaves the spec unchanged.
    let exact: Result<Vec<Text<1, 254>>, _> = names.iter().map(Text::new).collect();
    let exact = exact.map_err(|_| missing())?;
    let policy = policy(spec, place).ok_or_else(missing)?;
    if let Some(tls) = policy.as_mut().and_then(|policy| policy.tls.as_mut()) {
        let ClientTrust::Acm(acm) = &mut tls.validation.trust else {
            return Err(ChangeError::OtherTrust { resource: of.clone(), place: place.clone() });
        };
        acm.certificate_authority_arns = trust.certificate_authority_arns;
        return Ok(());
    }
    let names = (!exact.is_empty()).then(|| SubjectAlternativeNames {
        names: SubjectAlternativeNameMatchers { exact, extra: Extra::new() },
        extra: Extra::new(),
    });
    let validation =
        ClientValidation { subject_alternative_names: names, trust: ClientTrust::Acm(trust), extra: Extra::new() };
    let tls = ClientTls { certificate: None, enforce: Some(false), ports: None, validation, extra: Extra::new() };
    policy.get_or_insert_with(|| ClientPolicy { tls: None, extra: Extra::new() }).tls = Some(tls);
    Ok(())
}

/// The member with a client policy; `None` if the spec cannot have one there.
fn policy<'s>(spec: &'s mut Spec, place: &SpecLocation) -> Option<&'s mut Option<ClientPolicy>> {
    let defaults = |defaults: &'s mut Option<BackendDefaults>| {
        let made = || BackendDefaults { client_policy: None, extra: Extra::new() };
        &mut defaults.get_or_insert_with(made).client_policy
    };
    match (spec, place) {
        (Spec::VirtualNode(node), SpecLocation::BackendDefaults) => Some(defaults(&mut node.backend_defaults)),
        (Spec::VirtualGateway(gateway), SpecLocation::BackendDefaults) => Some(defaults(&mut gateway.backend_defaults)),
        (Spec::VirtualNode(node), SpecLocation::Backend { service }) => {
            node.backends.iter_mut().flatten().find_map(|backend| match backend {
                Backend::VirtualService(backend) if backend.virtual_service_name == *service => {
                    Some(&mut backend.client_policy)
                }
                Backend::VirtualService(_) | Backend::Unrecognised(_) => None,
            })
        }
        _ => None,
    }
}

/// Applies a change to one resource of a mesh.
pub(super) fn in_mesh(
    mesh: &mut Mesh,
    of: &ResourcePath,
    change: impl FnOnce(&mut Spec) -> Result<(), ChangeError>,
) -> Result<(), ChangeError> {
    let missing = || ChangeError::NoResource { resource: of.clone() };
    if *of.mesh() != mesh.name {
        return Err(missing());
    }
    let mut spec = match of {
        ResourcePath::VirtualNode(_, name) => mesh.nodes.get(name).map(|node| Spec::from(node.clone())),
        ResourcePath::VirtualGateway(_, name) => {
            mesh.gateways.get(name).and_then(|gateway| gateway.spec.clone()).map(Spec::from)
        }
        ResourcePath::Mesh(_)
        | ResourcePath::VirtualRouter(..)
        | ResourcePath::Route(_)
        | ResourcePath::VirtualService(..)
        | ResourcePath::GatewayRoute(..) => None,
    }
    .ok_or_else(missing)?;
    change(&mut spec)?;
    mesh.insert(of.clone(), spec).map_err(|_| missing())
}
