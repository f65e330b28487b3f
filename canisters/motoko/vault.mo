// Regions of stable memory, and a gate for the messages of users.

import Principal "mo:core/Principal";
import Region "mo:core/Region";

persistent actor Vault {
  let papers = Region.new();
  let gold = Region.new();
  var inspected : Nat = 0;
  var closed : Bool = false;

  // The number of pages before; the largest number there is if the region cannot grow.
  public func grow(pages : Nat64) : async Nat64 { Region.grow(papers, pages) };

  public func put(offset : Nat64, content : Blob) : async () {
    Region.storeBlob(papers, offset, content);
  };

  public query func take(offset : Nat64, size : Nat) : async Blob {
    Region.loadBlob(papers, offset, size);
  };

  // Stores a number in the other region.
  public func hoard(amount : Nat64) : async Nat64 {
    if (Region.size(gold) == 0) { ignore Region.grow(gold, 1) };
    Region.storeNat64(gold, 65_528, amount);
    Region.loadNat64(gold, 65_528);
  };

  public query func sizes() : async (Nat64, Nat64, Nat, Nat) {
    (Region.size(papers), Region.size(gold), Region.id(papers), Region.id(gold));
  };

  public shared ({ caller }) func close(yes : Bool) : async () {
    assert Principal.isController(caller);
    closed := yes;
  };

  public query func isOpen() : async Bool { not closed };

  // Users who are nobody, and long arguments, do not come in; when closed only `close` does.
  system func inspect(
    {
      caller : Principal;
      arg : Blob;
      msg : {
        #close : () -> Bool;
        #grow : () -> Nat64;
        #hoard : () -> Nat64;
        #isOpen : () -> ();
        #put : () -> (Nat64, Blob);
        #sizes : () -> ();
        #take : () -> (Nat64, Nat);
      };
    }
  ) : Bool {
    // Nothing that is done here stays.
    inspected += 1;
    if (Principal.isAnonymous(caller) or arg.size() > 1_000 or inspected != 1) { return false };
    switch msg {
      case (#close(_)) { Principal.isController(caller) };
      case (_) { not closed };
    };
  };
};
