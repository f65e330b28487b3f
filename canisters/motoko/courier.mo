// Calls to other canisters of the same interface: one after another, at the same time, with cycles,
// with a deadline, with what fails, and from queries.

import Cycles "mo:core/Cycles";
import Error "mo:core/Error";
import InternetComputer "mo:core/InternetComputer";
import List "mo:core/List";
import Nat "mo:core/Nat";
import Principal "mo:core/Principal";
import Random "mo:core/Random";
import Runtime "mo:core/Runtime";
import Timer "mo:core/Timer";

persistent actor Courier {
  type Peer = actor {
    deliver : (Nat) -> async Nat;
    refuse : () -> async ();
    crash : () -> async ();
    missing : () -> async ();
    takeHalf : () -> async Nat;
    note : (Text) -> ();
    get : query () -> async Nat;
    total : composite query (Principal) -> async Nat;
  };

  var delivered : Nat = 0;
  var cleaned : Nat = 0;
  var log : List.List<Text> = List.empty();

  func peerOf(id : Principal) : Peer { actor (Principal.toText(id)) };

  public func deliver(n : Nat) : async Nat {
    delivered += 1;
    n * 2;
  };

  public func refuse() : async () {
    delivered += 100;
    throw Error.reject("not today");
  };

  public func crash() : async () {
    delivered += 1000;
    Runtime.trap("dropped it");
  };

  public query func get() : async Nat { delivered };

  public query func state() : async (Nat, Nat, [Text]) {
    (delivered, cleaned, List.toArray(log));
  };

  // One call after another.
  public func inTurn(peer : Principal, n : Nat) : async Nat {
    var sum = 0;
    for (i in Nat.range(0, n)) {
      sum += await peerOf(peer).deliver(i);
    };
    sum;
  };

  // All calls at once.
  public func atOnce(peer : Principal, n : Nat) : async Nat {
    let futures = List.empty<async Nat>();
    for (i in Nat.range(0, n)) { List.add(futures, peerOf(peer).deliver(i)) };
    var sum = 0;
    for (future in List.values(futures)) { sum += await future };
    sum;
  };

  // What the caller is told of each way to fail.
  public func failures(peer : Principal, nobody : Principal) : async [Text] {
    let told = List.empty<Text>();
    func tell(e : Error) { List.add(told, debug_show Error.code(e) # " " # Error.message(e)) };
    try { await peerOf(peer).refuse() } catch (e) { tell(e) };
    try { await peerOf(peer).crash() } catch (e) { tell(e) };
    try { await peerOf(peer).missing() } catch (e) { tell(e) };
    try { await peerOf(nobody).refuse() } catch (e) { tell(e) };
    List.toArray(told);
  };

  // What is done before an await stays when what comes after it traps.
  public func commitThenTrap(peer : Principal) : async Nat {
    delivered += 10;
    ignore await peerOf(peer).deliver(1);
    delivered += 10_000;
    Runtime.trap("too late");
  };

  // A `finally` runs even if what it follows traps after an await.
  public func trapWithFinally(peer : Principal) : async Nat {
    try {
      ignore await peerOf(peer).deliver(1);
      Runtime.trap("cleaned up");
    } finally { cleaned += 1 };
  };

  // Takes half of the attached cycles.
  public func takeHalf() : async Nat { Cycles.accept<system>(Cycles.available() / 2) };

  // Sends cycles; returns what the peer took, and what came back.
  public func pay(peer : Principal, amount : Nat) : async (Nat, Nat) {
    let taken = await (with cycles = amount) peerOf(peer).takeHalf();
    (taken, Cycles.refunded());
  };

  public func burn(amount : Nat) : async Nat { Cycles.burn<system>(amount) };

  public query func balance() : async Nat { Cycles.balance() };

  // A call that waits for its answer no longer than so many seconds.
  public func within(peer : Principal, seconds : Nat32) : async Nat {
    await (with timeout = seconds) peerOf(peer).deliver(21);
  };

  // A method without an answer.
  public func note(text : Text) : () { List.add(log, text) };

  public func send(peer : Principal, text : Text) : async () { peerOf(peer).note(text) };

  // A call with an argument and a reply of any bytes.
  public func raw(peer : Principal, method : Text, argument : Blob) : async Blob {
    await InternetComputer.call(peer, method, argument);
  };

  // Asks the peer from within a query.
  public composite query func total(peer : Principal) : async Nat {
    delivered + (await peerOf(peer).get());
  };

  // Asks the peer to ask a third one.
  public composite query func deepTotal(peer : Principal, third : Principal) : async Nat {
    delivered + (await peerOf(peer).total(third));
  };

  // What a composite query is told of a callee that is not there.
  public composite query func lost(nobody : Principal) : async Text {
    try { debug_show (await peerOf(nobody).get()) } catch (e) { Error.message(e) };
  };

  public func entropy() : async Blob { await Random.blob() };

  // A number of two dice, from the randomness of the network.
  public func roll() : async Nat {
    let random = Random.crypto();
    (await* random.natRange(1, 7)) + (await* random.natRange(1, 7));
  };

  // Notes a text after so many seconds.
  public func later(seconds : Nat, text : Text) : async () {
    ignore Timer.setTimer<system>(#seconds seconds, func() : async () { List.add(log, text) });
  };
};
