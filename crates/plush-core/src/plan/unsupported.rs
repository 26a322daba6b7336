//! What a description may say and this build cannot do yet: said before anything is contacted, never passed over.
//! Not errors of a description (the parser's), and not the list (the language's).

use super::PlanProblem;
use plush_spec::model::Project;

/// Everything in the application's clusters that would have to be passed over.
pub fn unsupported(project: &Project) -> Vec<PlanProblem> {
    let problem = |refused: plush_spec::Refused| PlanProblem {
        what: refused.message(),
        place: refused.place,
        hint: Some(refused.hint().to_owned()),
        too_few_hosts: false,
    };
    plush_spec::refused(project, project.application(None)).into_iter().map(problem).collect()
}
