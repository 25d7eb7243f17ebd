//! SECs register and are put out of service.

use super::{moment, refused, sql, write};
use crate::store::SharedStore;
use crate::store::error::{Refusal, Rule};
use crate::store::sagas::{EXPUNGED, heartbeat};
use crate::store::sql::Statement;
use crate::wire::ids::SecId;

pub(crate) async fn a_heartbeat_registers_and_freshens(store: &SharedStore) {
    let (sec, other) = (SecId::random(), SecId::random());
    write(store, heartbeat(other, "http://127.0.0.1:9", moment(0), moment(0))).await.expect("another SEC");
    for (address, started, beat) in
        [("http://127.0.0.1:1", 1, 1), ("http://127.0.0.1:1", 1, 2), ("http://127.0.0.1:2", 3, 3)]
    {
        let applied = write(store, heartbeat(sec, address, moment(started), moment(beat))).await;
        assert_eq!(applied.expect("it is active").rows, [1]);
        let row = Statement::new(
            "SELECT internal_address, time_started, time_heartbeat FROM sec WHERE id = $1 AND state = 'active'",
            vec![sec.into()],
        );
        let rows = store.read(row).await.expect("it is readable");
        assert_eq!(rows[0].text(0).expect("text"), address);
        assert_eq!(rows[0].time(1).expect("a time"), moment(started));
        assert_eq!(rows[0].time(2).expect("a time"), moment(beat));
    }
}

pub(crate) async fn an_expunged_sec_never_comes_back(store: &SharedStore) {
    let sec = SecId::random();
    let beat = || heartbeat(sec, "http://127.0.0.1:1", moment(0), moment(1));
    write(store, beat()).await.expect("it is active");
    write(store, sql("UPDATE sec SET state = 'expunged' WHERE id = $1", vec![sec.into()]))
        .await
        .expect("known state");
    let refusal = refused(store, beat()).await;
    assert_eq!(refusal, Refusal { rule: Rule::RowCount, what: EXPUNGED.to_owned() });
}
