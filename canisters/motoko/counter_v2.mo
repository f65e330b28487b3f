// The second version of `counter.mo`: an upgrade to it keeps the counter and the ticks, adds a
// variable, and adds the methods `dec` and `version`.

import CertifiedData "mo:core/CertifiedData";
import Error "mo:core/Error";
import Principal "mo:core/Principal";
import Runtime "mo:core/Runtime";
import Timer "mo:core/Timer";

persistent actor Counter {
  var count : Nat = 0;
  var ticks : Nat = 0;
  var decrements : Nat = 0;
  transient var timer : ?Timer.TimerId = null;

  public func inc() : async Nat {
    count += 1;
    count;
  };

  public func add(n : Nat) : async Nat {
    count += n;
    count;
  };

  // New in this version.
  public func dec() : async Nat {
    if (count == 0) { Runtime.trap("the counter is zero") };
    count -= 1;
    decrements += 1;
    count;
  };

  // New in this version.
  public query func version() : async Nat { 2 };

  public query func get() : async Nat { count };

  public query func greet(name : Text) : async Text { "Hello, " # name # "!" };

  public shared query ({ caller }) func whoami() : async Principal { caller };

  // Calls `inc` of another canister with the same interface and returns its answer.
  public func callInc(peer : Principal) : async Nat {
    let other = actor (Principal.toText(peer)) : actor { inc : () -> async Nat };
    await other.inc();
  };

  // Like `callInc`, but of a method that traps there; returns what the caller is told.
  public func callTrap(peer : Principal) : async Text {
    let other = actor (Principal.toText(peer)) : actor { incThenTrap : () -> async () };
    count += 1;
    try {
      await other.incThenTrap();
      "no error";
    } catch (e) {
      Error.message(e);
    };
  };

  // Changes the state and traps: the change must not be seen afterwards.
  public func incThenTrap() : async () {
    count += 1000;
    Runtime.trap("deliberate trap");
  };

  // Answers with a reject of its own, code 4.
  public func refuse() : async Nat {
    throw Error.reject("deliberate reject");
  };

  public func setCertified(data : Blob) : async () { CertifiedData.set(data) };

  public query func certificate() : async ?Blob { CertifiedData.getCertificate() };

  func tick() : async () { ticks += 1 };

  // Counts one tick a second until `stopTicks`.
  public func startTicks() : async () {
    switch timer {
      case (?_) {};
      case null { timer := ?Timer.recurringTimer<system>(#seconds 1, tick) };
    };
  };

  public func stopTicks() : async Nat {
    switch timer {
      case (?id) { Timer.cancelTimer(id); timer := null };
      case null {};
    };
    ticks;
  };

  public query func getTicks() : async Nat { ticks };
};
