import io.netty.bootstrap.ChannelInitializerExtension;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelOutboundHandlerAdapter;
import io.netty.channel.ChannelPromise;
import io.netty.channel.ServerChannel;
import java.io.File;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import org.apache.pinot.spi.env.PinotConfiguration;
import org.apache.pinot.spi.plugin.PluginManager;
import org.apache.pinot.spi.services.ServiceStartable;
import org.apache.zookeeper.server.ServerCnxnFactory;
import org.apache.zookeeper.server.ZooKeeperServer;

/**
 * A whole Pinot in one process: ZooKeeper, controller, broker and server, for one machine, on the loopback interface only. Reads the system
 * properties `data` (folder), `ports` (ZooKeeper, controller, broker, and the server's query and admin ports, separated by commas), and `pinot.*`
 * and `controller.*` (settings of all components). Prints READY when everything has started.
 */
public final class PinotAll {
  private static final String HOST = "127.0.0.1";
  private static final String CLUSTER = "ticklake";
  private static final long LONGEST_STOP_MS = 15_000;
  private final Deque<ServiceStartable> started = new ArrayDeque<>();

  public static void main(String[] args) {
    try {
      new PinotAll().run();
    } catch (Throwable failure) {
      failure.printStackTrace();
      System.exit(1);
    }
  }

  private void run() throws Exception {
    String data = System.getProperty("data");
    String[] port = System.getProperty("ports").split(",");
    String zooKeeper = HOST + ":" + port[0];
    PluginManager.get().init();
    File log = new File(data, "zookeeper");
    ServerCnxnFactory.createFactory(new InetSocketAddress(HOST, Integer.parseInt(port[0])), 500).startup(new ZooKeeperServer(log, log, 1000));
    Runtime.getRuntime().addShutdownHook(new Thread(this::stop));

    Map<String, Object> controller = settings("controller.", port[1]);
    controller.put("controller.helix.cluster.name", CLUSTER);
    controller.put("controller.zk.str", zooKeeper);
    controller.put("controller.host", HOST);
    controller.put("controller.port", port[1]);
    controller.put("controller.vip.host", HOST);
    controller.put("controller.vip.port", port[1]);
    controller.put("controller.data.dir", data + "/controller");
    controller.put("controller.local.temp.dir", data + "/controller-temp");
    controller.put("cluster.tenant.isolation.enable", true);
    start("org.apache.pinot.controller.ControllerStarter", controller);

    Map<String, Object> broker = settings("pinot.broker.client.", port[2]);
    broker.put("pinot.cluster.name", CLUSTER);
    broker.put("pinot.zk.server", zooKeeper);
    broker.put("pinot.broker.hostname", HOST);
    broker.put("pinot.broker.client.queryPort", port[2]);
    broker.put("pinot.broker.delayShutdownTimeMs", 0L);
    start("org.apache.pinot.broker.broker.helix.HelixBrokerStarter", broker);

    Map<String, Object> server = settings("pinot.server.adminapi.", port[4]);
    server.put("pinot.cluster.name", CLUSTER);
    server.put("pinot.zk.server", zooKeeper);
    server.put("pinot.server.netty.host", HOST);
    server.put("pinot.server.netty.port", port[3]);
    server.put("pinot.server.adminapi.port", port[4]);
    // For engines of others; it cannot be bound to one address.
    server.put("pinot.server.grpc.enable", false);
    server.put("pinot.server.instance.dataDir", data + "/server/index");
    server.put("pinot.server.instance.segmentTarDir", data + "/server/segments");
    server.put("pinot.server.shutdown.enableQueryCheck", false);
    server.put("pinot.server.startup.serviceStatusCheckIntervalMs", 200L);
    start("org.apache.pinot.server.starter.helix.HelixServerStarter", server);
    System.out.println("READY");
    Thread.currentThread().join();
  }

  /** Settings of one component: its HTTP listener on the loopback interface only, and what the command line says. */
  private static Map<String, Object> settings(String component, String port) {
    Map<String, Object> settings = new HashMap<>();
    settings.put(component + "access.protocols", "http");
    settings.put(component + "access.protocols.http.host", HOST);
    settings.put(component + "access.protocols.http.port", port);
    System.getProperties().forEach((name, value) -> {
      if (name.toString().startsWith("pinot.") || name.toString().startsWith("controller.")) settings.put(name.toString(), value);
    });
    return settings;
  }

  private void start(String type, Map<String, Object> settings) throws Exception {
    ServiceStartable service = (ServiceStartable) Class.forName(type).getDeclaredConstructor().newInstance();
    service.init(new PinotConfiguration(settings));
    service.start();
    started.push(service);
  }

  /** The last one first; what takes too long is left. */
  private void stop() {
    Thread stopping = new Thread(() -> {
      for (ServiceStartable service : started) {
        try {
          service.stop();
        } catch (Throwable failure) {
          System.out.println("Stopping: " + failure);
        }
      }
    });
    stopping.setDaemon(true);
    stopping.start();
    try {
      stopping.join(LONGEST_STOP_MS);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
    Runtime.getRuntime().halt(0);
  }

  /** Pinot gives Netty a port and no address: the query port would be open to the network. Found by Netty through META-INF/services. */
  public static final class OnLoopback extends ChannelInitializerExtension {
    @Override
    public void postInitializeServerListenerChannel(ServerChannel channel) {
      channel.pipeline().addFirst(new ChannelOutboundHandlerAdapter() {
        @Override
        public void bind(ChannelHandlerContext context, SocketAddress address, ChannelPromise promise) {
          context.bind(address instanceof InetSocketAddress asked ? new InetSocketAddress(HOST, asked.getPort()) : address, promise);
        }
      });
    }
  }
}
