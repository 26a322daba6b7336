//! A project: everything that one description says.
//! It is not a run: nothing here knows which hosts exist.

use crate::model::{
    Barrier, Callback, Cluster, FailurePolicy, Foreign, Name, Place, Reference, Resource, Service,
    Software,
};
use serde::{Deserialize, Serialize};

/// The root of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// What the project is called.
    pub name: Name,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
    /// Variables with their defaults, in the order of the text.
    pub variables: Vec<Variable>,
    /// Where hosts come from, for clusters that say nothing of their own.
    pub resources: Vec<Resource>,
    /// What is to be installed, by name.
    pub software: Vec<Software>,
    /// Groups of hosts that do the same, in the order of the text.
    pub clusters: Vec<Cluster>,
    /// Barriers by name: one name is one barrier, whichever clusters use it.
    pub barriers: Vec<Barrier>,
    /// What can be run; never empty after parsing: where the text names none, one with the project's name.
    pub applications: Vec<Application>,
    /// Local programs called when something happens.
    pub callbacks: Vec<Callback>,
    /// What belongs to others and is carried along.
    pub foreign: Vec<Foreign>,
}

impl Project {
    /// The software of that name.
    pub fn software(&self, name: &Name) -> Option<&Software> {
        self.software.iter().find(|s| s.name == *name)
    }

    /// The cluster of that name.
    pub fn cluster(&self, name: &Name) -> Option<&Cluster> {
        self.clusters.iter().find(|c| c.name == *name)
    }

    /// The barrier of that name.
    pub fn barrier(&self, name: &Name) -> Option<&Barrier> {
        self.barriers.iter().find(|b| b.name == *name)
    }

    /// The application of that name; without a name, the only or first one.
    pub fn application(&self, name: Option<&Name>) -> Option<&Application> {
        match name {
            Some(name) => self.applications.iter().find(|a| a.name == *name),
            None => self.applications.first(),
        }
    }

    /// Makes the application of that name the default; returns whether it exists.
    pub fn choose(&mut self, name: &str) -> bool {
        let at = self.applications.iter().position(|a| a.name.as_str() == name);
        if let Some(at) = at {
            self.applications[..=at].rotate_right(1);
        }
        at.is_some()
    }

    /// The clusters that an application runs on, in the order of the text.
    pub fn clusters_of<'a>(
        &'a self,
        application: &'a Application,
    ) -> impl Iterator<Item = &'a Cluster> {
        self.clusters.iter().filter(move |cluster| {
            application.clusters.is_empty()
                || application.clusters.iter().any(|r| r.name == cluster.name)
        })
    }

    /// Where the hosts of a cluster come from: its own resources, or the project's.
    pub fn resources_of<'a>(&'a self, cluster: &'a Cluster) -> &'a [Resource] {
        if cluster.resources.is_empty() { &self.resources } else { &cluster.resources }
    }
}

/// A variable of the project, replaced where `${name}` is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: Name,
    /// Its value: the default of the text, or what `--set` gave.
    pub value: String,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
}

/// What can be run: a choice of clusters and how the whole of them is treated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Application {
    /// Its name.
    pub name: Name,
    /// Where it is written.
    #[serde(skip)]
    pub place: Place,
    /// The clusters that take part; empty means all.
    pub clusters: Vec<Reference>,
    /// The class for clusters that say nothing of their own.
    pub service: Option<Service>,
    /// What to do on failure, for clusters that say nothing of their own.
    pub on_failure: FailurePolicy,
    /// What belongs to others and is carried along.
    pub foreign: Vec<Foreign>,
}
