//! What an agent remembers is there for the next session of its project, and for no other's.

use holdfast_hardware_tests::harness::Agent;

use super::employed::Employed;
use super::end;
use super::projects::Project;

/// What [`Employed::works`] says to it.
const FIRST: &str = "Hold fast.";

/// Finds the first words in what the agent keeps; says whether it keeps anything.
const LOOK: &str =
    "grep -rlF 'Hold fast.' ~/.claude/projects | wc -l; ls ~/.claude/projects | wc -l";

#[test]
fn a_conversation_goes_on_in_the_next_session_of_its_project_and_in_no_others() {
    let Some(employed) = Employed::by(Agent::Claude, Project::Node, |_| vec![end()]) else {
        return;
    };
    let said = employed.works();
    assert!(said.contains("The rock holds."), "{said}");
    let told = || {
        let requests = employed.model.requests();
        let mains = requests.iter().filter(|request| request.is_main());
        mains
            .map(|main| main.body["messages"].to_string())
            .collect::<Vec<_>>()
    };
    let before = told();
    assert!(
        before.iter().all(|main| main.contains(FIRST)),
        "{before:#?}"
    );
    assert!(!before.is_empty());

    let further = ["--continue", "-p", "And now?", "--output-format", "json"];
    let ran = employed.run_in(&employed.project, &further);
    assert!(ran.success().contains("The rock holds."));
    let resumed = told().split_off(before.len());
    assert!(!resumed.is_empty());
    for main in &resumed {
        for words in [FIRST, "The rock holds.", "And now?"] {
            assert!(main.contains(words), "no `{words}`: {main}");
        }
    }

    // In another project there is nothing to go on with, whichever way it is looked for.
    let other = employed.another();
    let ran = employed.run_in(&other, &further);
    assert!(!format!("{ran:?}").contains(FIRST), "{ran:#?}");
    let strayed = told().split_off(before.len() + resumed.len());
    assert!(
        strayed.iter().all(|main| !main.contains(FIRST)),
        "{strayed:#?}"
    );
    let looked = employed.shell_in(&employed.project, LOOK).success();
    assert_eq!(looked, "1\n1\n");
    let looked = employed.shell_in(&other, LOOK).success();
    assert!(looked.starts_with("0\n"), "{looked}");
}
