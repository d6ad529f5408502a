//! `Ref` and `Fn::GetAtt`: parameters, pseudo parameters, and the attributes of App Mesh resources.

use serde_json::Value;

use super::super::config_item::kind_of;
use super::super::declare::{own_name_member, parent_name_member, text_of};
use super::scope::Scope;
use mesh::name::ResourceKind;

impl Scope<'_> {
    /// `Ref` of a name.
    pub(super) fn reference(&mut self, name: &str) -> Value {
        if name.starts_with("AWS::") {
            return self.pseudo(name);
        }
        if let Some(value) = self.parameter(name) {
            return value;
        }
        match self.kind_of_resource(name) {
            Some(_) => self.attribute(name, "Arn"),
            None if self.type_of_resource(name) == Some("AWS::SSM::Parameter") => {
                // A reference to such a parameter is its name.
                self.property(name, "Name").unwrap_or_else(|| self.unknown(name))
            }
            None => self.unknown(name),
        }
    }

    /// `Fn::GetAtt` of `[id, attribute]` or `id.attribute`.
    pub(super) fn attribute_of(&mut self, argument: &Value) -> Value {
        match argument {
            Value::String(both) => match both.split_once('.') {
                Some((id, attribute)) => self.attribute(id, attribute),
                None => self.unknown(&format!("Fn::GetAtt {both}")),
            },
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(id), attribute] => match self.text(attribute) {
                    Some(attribute) => self.attribute(id, &attribute),
                    None => self.unknown(&format!("Fn::GetAtt {id}")),
                },
                _ => self.unworked("Fn::GetAtt", &Value::Null),
            },
            _ => self.unworked("Fn::GetAtt", &Value::Null),
        }
    }

    /// An attribute of a resource, evaluated once.
    pub(super) fn attribute(&mut self, id: &str, attribute: &str) -> Value {
        let key = format!("{id}.{attribute}");
        if let Some(known) = self.attributes.get(&key) {
            return known.clone().unwrap_or_else(|| self.unknown(&key));
        }
        self.attributes.insert(key.clone(), None);
        let value = self.attribute_within(id, attribute).unwrap_or_else(|| self.unknown(&key));
        self.attributes.insert(key, Some(value.clone()));
        value
    }

    fn attribute_within(&mut self, id: &str, attribute: &str) -> Option<Value> {
        let resource = self.section("Resources")?.get(id)?;
        let kind = resource.get("Type")?.as_str()?;
        match kind {
            "AWS::CloudFormation::Stack" | "AWS::Serverless::Application" => {
                let output = attribute.strip_prefix("Outputs.")?;
                return self.inputs.outputs.get(id)?.get(output).cloned();
            }
            "AWS::SSM::Parameter" if attribute == "Value" => return self.property(id, "Value"),
            "Custom::CrossRegionExportReader" => return self.stored(attribute),
            _ => {}
        }
        let Some(kind) = kind_of(kind) else {
            // The names of Cloud Map namespaces and services, by which virtual nodes are discovered.
            let named = kind.starts_with("AWS::ServiceDiscovery::") && attribute == "Name";
            return if named { self.property(id, "Name") } else { None };
        };
        match attribute {
            "Arn" | "Id" => self.arn(id, kind),
            "MeshName" => self.mesh_name(id, kind),
            "MeshOwner" | "ResourceOwner" => {
                let owner = if attribute == "MeshOwner" { self.property(id, "MeshOwner") } else { None };
                Some(owner.unwrap_or_else(|| self.pseudo("AWS::AccountId")))
            }
            _ if attribute.eq_ignore_ascii_case(own_name_member(kind)) => Some(self.own_name(id, kind)),
            _ if parent_name_member(kind).is_some_and(|member| attribute.eq_ignore_ascii_case(member)) => {
                self.property(id, attribute)
            }
            _ => None,
        }
    }

    fn type_of_resource(&self, id: &str) -> Option<&str> {
        self.section("Resources")?.get(id)?.get("Type")?.as_str()
    }

    fn kind_of_resource(&self, id: &str) -> Option<ResourceKind> {
        self.type_of_resource(id).and_then(kind_of)
    }

    fn property(&mut self, id: &str, name: &str) -> Option<Value> {
        let property = self.section("Resources")?.get(id)?.get("Properties")?.get(name)?;
        self.value(property)
    }

    /// The name of a resource. The logical id stands in for a name that CloudFormation generates.
    fn own_name(&mut self, id: &str, kind: ResourceKind) -> Value {
        let member = own_name_member(kind);
        let mut chars = member.chars();
        let property = chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str());
        property.and_then(|property| self.property(id, &property)).unwrap_or_else(|| Value::from(id))
    }

    fn mesh_name(&mut self, id: &str, kind: ResourceKind) -> Option<Value> {
        if kind == ResourceKind::Mesh { Some(self.own_name(id, kind)) } else { self.property(id, "MeshName") }
    }

    fn arn(&mut self, id: &str, kind: ResourceKind) -> Option<Value> {
        let text = |value: Value| text_of(&value);
        let partition = text(self.pseudo("AWS::Partition"))?;
        let region = text(self.pseudo("AWS::Region"))?;
        let account = match self.property(id, "MeshOwner") {
            Some(owner) => text(owner)?,
            None => text(self.pseudo("AWS::AccountId"))?,
        };
        let mesh = text(self.mesh_name(id, kind)?)?;
        let own = text(self.own_name(id, kind))?;
        let place = match kind {
            ResourceKind::Mesh => format!("mesh/{mesh}"),
            ResourceKind::Route => {
                let router = text(self.property(id, "VirtualRouterName")?)?;
                format!("mesh/{mesh}/virtualRouter/{router}/route/{own}")
            }
            ResourceKind::GatewayRoute => {
                let gateway = text(self.property(id, "VirtualGatewayName")?)?;
                format!("mesh/{mesh}/virtualGateway/{gateway}/gatewayRoute/{own}")
            }
            ResourceKind::VirtualNode
            | ResourceKind::VirtualGateway
            | ResourceKind::VirtualRouter
            | ResourceKind::VirtualService => format!("mesh/{mesh}/{kind}/{own}"),
        };
        let arn = format!("arn:{partition}:appmesh:{region}:{account}:{place}");
        Some(self.bounded(arn, "Fn::GetAtt Arn"))
    }
}
